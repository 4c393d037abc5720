//! What a change of one image does to others: those of its source go with it, and the rule may say something else of
//! others still. Nothing of that is silent.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::Result;
use crate::engine::context::Context;
use crate::engine::protocol::Level;
use crate::method::provenance::listed;
use crate::workspace::{ImageId, Split};

/// What the images are for before something is changed.
pub struct Splits(HashMap<ImageId, Split>);

impl Splits {
    /// As it is now.
    pub fn of(context: &Context) -> Result<Self> {
        let images = context.workspace()?.ledger().images()?;
        Ok(Self(images.into_iter().map(|image| (image.id, image.split)).collect()))
    }

    /// The images that have come since.
    pub fn come_since(&self, context: &Context) -> Result<HashSet<ImageId>> {
        let images = context.workspace()?.ledger().images()?;
        Ok(images.into_iter().map(|image| image.id).filter(|id| !self.0.contains_key(id)).collect())
    }

    /// Says which images besides those `named` are for something else than before.
    pub fn say_others(self, context: &Context, named: impl IntoIterator<Item = ImageId>) -> Result<()> {
        let named: HashSet<ImageId> = named.into_iter().collect();
        let mut others: BTreeMap<Split, Vec<String>> = BTreeMap::new();
        for image in context.workspace()?.ledger().images()? {
            let is_other = self.0.get(&image.id).is_some_and(|before| *before != image.split);
            if is_other && !named.contains(&image.id) {
                others.entry(image.split).or_default().push(image.name);
            }
        }
        for (split, names) in others {
            let count = names.len();
            let of = if count == 1 { "image is" } else { "images are" };
            context.log(Level::Info, format!("{count} other {of} {} now: {}", split.phrase(), listed(&names)));
        }
        Ok(())
    }
}
