//! How numbers and times are written.

use crate::words;

/// A duration as people say it.
pub fn duration(secs: f64) -> String {
    match secs.max(0.0).round() as u64 {
        s @ 0..=89 => format!("{s} s"),
        s @ 90..=5399 => format!("{} min", (s + 30) / 60),
        s => format!("{:.1} h", s as f64 / 3600.0),
    }
}

/// Units a second, with as many digits as say something.
pub fn rate(per_second: f64, unit: &str) -> String {
    match per_second {
        r if r >= 10.0 => format!("{r:.0} {unit}/s"),
        r if r >= 1.0 => format!("{r:.1} {unit}/s"),
        r if r > 0.0 => format!("{:.1} s each", 1.0 / r),
        _ => String::new(),
    }
}

/// A number with four significant digits, as it stands in a cell; "–" where there is none.
pub fn number(value: f64) -> String {
    significant(value, 4)
}

/// A reward, σ or weight: three decimals, fewer of those from 10 on that some scales have; "–" where there is none.
pub fn reward(value: f64) -> String {
    let decimals = match value.abs() {
        _ if !value.is_finite() => return "–".into(),
        a if a < 10.0 => 3,
        a if a < 100.0 => 2,
        _ => 1,
    };
    format!("{value:.decimals$}").replace('-', "−")
}

/// A number with three significant digits, where room is scarce; "–" where there is none.
pub fn brief(value: f64) -> String {
    significant(value, 3)
}

/// So many significant digits, two fewer beside a power of ten.
fn significant(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let size = match value.abs() {
        0.0 => "0".into(),
        a if !(10f64.powi(-digits)..10f64.powi(digits + 1)).contains(&a) => format!("{a:.*e}", digits as usize - 2),
        a => format!("{a:.*}", (digits - 1 - a.log10().floor() as i32).clamp(0, digits + 2) as usize),
    };
    if value < 0.0 { format!("−{size}") } else { size }
}

/// A value on an axis whose marks lie `step` apart: as many decimals as tell them apart.
pub fn mark(value: f64, step: f64) -> String {
    let decimals = -step.log10().floor();
    match decimals <= 4.0 && value.abs() < 1e5 {
        true => format!("{value:.*}", decimals.max(0.0) as usize),
        false => brief(value),
    }
}

/// A shortcut as it is printed on the keys.
pub fn shortcut(ctx: &egui::Context, shortcut: &egui::KeyboardShortcut) -> String {
    let mut text = ctx.format_shortcut(shortcut);
    for (name, sign) in [
        ("OpenBracket", "["),
        ("CloseBracket", "]"),
        ("Minus", "−"),
        ("Plus", "+"),
        ("Equals", "="),
        ("Period", "."),
        ("Comma", ","),
    ] {
        if let Some(modifiers) = text.strip_suffix(name) {
            text = format!("{modifiers}{sign}");
            break;
        }
    }
    text
}

/// A whole number with thin spaces between thousands.
pub fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// "1 image", "2 images".
pub fn counted(n: usize, unit: &str) -> String {
    words::counted(count(n), unit)
}

/// Whether a text holds every word of a query, whatever the case.
pub fn holds_words(text: &str, query: &str) -> bool {
    let text = text.to_lowercase();
    query.to_lowercase().split_whitespace().all(|word| text.contains(word))
}

/// The text, or its first letters and "…".
pub fn short(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(0.012_345), "0.01235");
        assert_eq!(number(31.456), "31.46");
        assert_eq!(number(f64::NAN), "–");
        assert_eq!(number(0.0), "0");
        assert_eq!((number(-0.5), brief(-0.0773)), ("−0.5000".into(), "−0.0773".into()));
        assert_eq!((brief(0.012_345), brief(1.0749), brief(f64::NAN)), ("0.0123".into(), "1.07".into(), "–".into()));
        assert_eq!(
            (mark(0.001, 5e-4), mark(0.7, 0.05), mark(20.0, 10.0)),
            ("0.0010".into(), "0.70".into(), "20".into())
        );
        assert_eq!((reward(0.5), reward(-11.512), reward(f64::NAN)), ("0.500".into(), "−11.51".into(), "–".into()));
        assert_eq!(mark(2e-5, 1e-5), "2.0e-5");
        assert_eq!(count(1_234_567), "1\u{2009}234\u{2009}567");
        assert_eq!(short("a long name.png", 6), "a lon…");
        assert_eq!(duration(3600.0), "60 min");
    }
}
