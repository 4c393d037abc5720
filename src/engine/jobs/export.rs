//! The weights of a checkpoint, for other tools.

use std::path::Path;

use candle_core::DType;

use super::checkpoints;
use crate::engine::context::Context;
use crate::engine::failures::Failures;
use crate::engine::model::Model;
use crate::engine::protocol::{Outcome, WeightsForm};
use crate::imaging::output;
use crate::{Error, Result};

/// Writes the weights of a checkpoint: all that are trained of its backbone, as they are when it runs, or what was added to them.
pub fn weights(context: &mut Context, name: &str, path: &Path, form: WeightsForm, overwrite: bool) -> Result<Outcome> {
    output::check_new_file(path, overwrite)?;
    let checkpoint = checkpoints::load(context, name)?;
    checkpoint.say_choice(context);
    let Model { backbone, params, layers } = checkpoint.model()?;
    let about = [("backbone", backbone.card().name), ("checkpoint", &checkpoint.name), ("format", "pt")];
    let about = about.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    let bytes = match (form, layers.as_deref()) {
        (WeightsForm::Whole, _) => params.to_safetensors(false, &about)?,
        (WeightsForm::Half, _) => {
            // What f16 does not hold is an error, and no file.
            params.as_ref().clone().trainable(false).narrowed(DType::F16)?;
            params.to_safetensors(true, &about)?
        }
        (WeightsForm::Factors, Some(layers)) if !layers.is_empty() => {
            let reference = context.models.reference(backbone.card().name, context.recipe.sampling.precision)?;
            reference.released().file_of(params, Some(layers), about)?
        }
        (WeightsForm::Factors, _) => {
            let cause = format!(
                "{} has no low-rank factors: it was not trained in that mode; leave out --factors",
                checkpoint.name
            );
            return Err(Error::invalid(cause));
        }
    };
    output::write(path, &bytes)?;
    Ok(Outcome::Written { files: vec![path.to_owned()], failed: Failures::default() })
}
