//! The fonts: Inter with figures of equal width for text, egui's for code and symbols. No sign the studio draws depends
//! on the fonts of the system; those stand in for letters of names that none of these has.

use std::sync::Arc;

use egui::{Context, FontData, FontDefinitions, FontFamily};

/// Family of headings and emphasis.
pub const STRONG: &str = "strong";

const REGULAR: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.otf");
const SEMI_BOLD: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.otf");

/// Gives egui the fonts.
pub fn install(ctx: &Context) {
    let mut fonts = FontDefinitions::default();
    for (name, bytes) in [("inter", REGULAR), ("inter-strong", SEMI_BOLD)] {
        fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(bytes)));
    }
    let mut fallback = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    fallback.extend(fonts.families.get(&FontFamily::Monospace).cloned().unwrap_or_default());
    let family = |first: &str| std::iter::once(first.to_owned()).chain(fallback.clone()).collect::<Vec<_>>();
    fonts.families.insert(FontFamily::Proportional, family("inter"));
    fonts.families.insert(FontFamily::Name(STRONG.into()), family("inter-strong"));
    ctx.set_fonts(fonts);
}
