//! Where in a file's path its image, seed and step stand.

use crate::{Error, Result};

/// What stands between the literal parts of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(String),
    /// `{image}`: any text within a folder's or file's name.
    Image,
    /// `{seed}`, `{step}`: digits.
    Seed,
    Step,
    /// `*`: any text within a name, or none.
    Any,
}

/// A pattern of paths below a folder, such as `{image}/{seed}.png`; `/` on every system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
    /// The ending that the pattern asks for, in lower case; `None` takes every image.
    ending: Option<String>,
}

/// What a path says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub image: String,
    pub seed: u64,
    pub step: Option<u32>,
}

/// The patterns that are tried where none is given; of equally good ones the first.
const KNOWN: [&str; 20] = [
    "{image}_{seed}",
    "{image}_seed{seed}",
    "{image}_seed_{seed}",
    "{image}-{seed}",
    "{image}-seed{seed}",
    "{image}/{seed}",
    "{image}/seed{seed}",
    "{image}/seed_{seed}",
    "{image}/{image}_{seed}",
    "seed{seed}/{image}",
    "seed_{seed}/{image}",
    "{seed}/{image}",
    "{step}/{image}_{seed}",
    "{step}/{image}/{seed}",
    "step-{step}/{image}_{seed}",
    "step-{step}/{image}/{seed}",
    "step_{step}/{image}_{seed}",
    "run/{step}/{image}_{seed}",
    "run/{step}/{image}/{seed}",
    "{step}/{seed}/{image}",
];

impl Pattern {
    /// From its text. Errors: braces that are not these, no image or seed.
    pub fn parse(text: &str) -> Result<Self> {
        let fault = |cause: &str| Error::invalid(format!("pattern `{}`: {cause}", text.escape_debug()));
        let (body, ending) = match text.rsplit_once('.') {
            Some((body, end)) if !end.contains(['/', '{', '}', '*']) => (body, Some(end.to_lowercase())),
            _ => (text, None),
        };
        let mut tokens = Vec::new();
        let mut left = body.trim_start_matches("./");
        while !left.is_empty() {
            let next = left.find(['{', '*']).unwrap_or(left.len());
            if next > 0 {
                tokens.push(Token::Literal(left[..next].to_owned()));
                left = &left[next..];
            } else if let Some(rest) = left.strip_prefix('*') {
                tokens.push(Token::Any);
                left = rest;
            } else {
                let word = left.find('}').map(|end| &left[..=end]).ok_or_else(|| fault("a { is not closed"))?;
                tokens.push(match word {
                    "{image}" => Token::Image,
                    "{seed}" => Token::Seed,
                    "{step}" => Token::Step,
                    _ => return Err(fault("{image}, {seed} and {step} can stand in it, and * for anything")),
                });
                left = &left[word.len()..];
            }
        }
        for (token, name) in [(Token::Image, "{image}"), (Token::Seed, "{seed}")] {
            if !tokens.contains(&token) {
                return Err(fault(&format!("{name} must stand in it")));
            }
        }
        Ok(Self { text: text.to_owned(), tokens, ending })
    }

    /// The pattern of [`KNOWN`] that most of some paths follow with an image that `is_known`; else the one that most follow.
    pub fn guess(paths: &[String], is_known: impl Fn(&str) -> bool) -> Result<Self> {
        let count = |pattern: &Self| {
            let places: Vec<Place> = paths.iter().filter_map(|path| pattern.place(path)).collect();
            (places.iter().filter(|place| is_known(&place.image)).count(), places.len())
        };
        let mut best: Option<((usize, usize), Self)> = None;
        for text in KNOWN {
            let pattern = Self::parse(text)?;
            let found = count(&pattern);
            if found.1 > 0 && best.as_ref().is_none_or(|(most, _)| found > *most) {
                best = Some((found, pattern));
            }
        }
        match best {
            Some((_, pattern)) => Ok(pattern),
            None => Err(Error::invalid(format!(
                "no seed is found in the names, such as {}; say where it stands: --pattern '{{image}}_{{seed}}.png', \
                 '{{image}}/{{seed}}.png'",
                paths.first().map_or("", String::as_str)
            ))),
        }
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a path says, its parts separated by `/`; `None` where it does not follow the pattern.
    pub fn place(&self, path: &str) -> Option<Place> {
        let (body, ending) = path.rsplit_once('.').unwrap_or((path, ""));
        if self.ending.as_ref().is_some_and(|wanted| !ending.eq_ignore_ascii_case(wanted)) {
            return None;
        }
        let mut found = Found::default();
        follow(&self.tokens, body, &mut found).then_some(())?;
        Some(Place { image: found.image?.to_owned(), seed: found.seed?, step: found.step })
    }
}

#[derive(Clone, Default)]
struct Found<'p> {
    image: Option<&'p str>,
    seed: Option<u64>,
    step: Option<u32>,
}

/// Whether the tokens take all of a text: the longest that each can take first, as names of images may hold anything.
fn follow<'p>(tokens: &[Token], text: &'p str, found: &mut Found<'p>) -> bool {
    let Some((first, rest)) = tokens.split_first() else { return text.is_empty() };
    let is_digit = |c: char| c.is_ascii_digit();
    let longest = match first {
        Token::Literal(literal) => {
            return text.strip_prefix(literal.as_str()).is_some_and(|text| follow(rest, text, found));
        }
        Token::Seed | Token::Step => text.find(|c| !is_digit(c)).unwrap_or(text.len()),
        Token::Image | Token::Any => text.find('/').unwrap_or(text.len()),
    };
    let shortest = usize::from(*first != Token::Any);
    let ends = (shortest..=longest).rev().filter(|&end| text.is_char_boundary(end));
    for end in ends {
        let (taken, left) = text.split_at(end);
        let mut tried = found.clone();
        let agrees = match first {
            Token::Image => tried.image.replace(taken).is_none_or(|before| before == taken),
            Token::Seed => match taken.parse() {
                Ok(seed) => tried.seed.replace(seed).is_none_or(|before| before == seed),
                Err(_) => false,
            },
            Token::Step => match taken.parse() {
                Ok(step) => tried.step.replace(step).is_none_or(|before| before == step),
                Err(_) => false,
            },
            Token::Literal(_) | Token::Any => true,
        };
        if agrees && follow(rest, left, &mut tried) {
            *found = tried;
            return true;
        }
        // Digits of a seed are never shared out: `a_12` is no seed 2 of an image `a_1`.
        if matches!(first, Token::Seed | Token::Step) {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pattern: &str, path: &str) -> Option<(String, u64, Option<u32>)> {
        let place = Pattern::parse(pattern).unwrap().place(path)?;
        Some((place.image, place.seed, place.step))
    }

    #[test]
    fn a_path_tells_image_seed_and_step() {
        for (pattern, path, image, seed, step) in [
            ("{image}_{seed}.png", "a_b_12.PNG", "a_b", 12, None),
            ("{image}_{seed}", "0801x4_7.jpg", "0801x4", 7, None),
            ("{image}/{seed}.png", "0801/3.png", "0801", 3, None),
            ("run/{step}/{image}/*{seed}", "run/000500/ü/seed-9.webp", "ü", 9, Some(500)),
            ("{image}/{image}_{seed}", "a/a_1.png", "a", 1, None),
            ("{seed}/{image}", "4/0801.png", "0801", 4, None),
        ] {
            assert_eq!(place(pattern, path), Some((image.to_owned(), seed, step)), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("{image}_{seed}.png", "a_1.jpg"),
            ("{image}_{seed}", "dir/a_1.png"),
            ("{image}/{image}_{seed}", "a/b_1.png"),
            ("{image}_{seed}", "a_x.png"),
            ("{image}_{seed}", "a_99999999999999999999.png"),
        ] {
            assert_eq!(place(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn faults_are_named_and_a_pattern_is_guessed_by_the_images_there_are() {
        let fault = |text: &str| Pattern::parse(text).unwrap_err().to_string();
        assert!(fault("{image}.png").contains("{seed} must stand"));
        assert!(fault("{name}_{seed}").contains("{image}, {seed} and {step}"));
        assert!(fault("{image_{seed}").contains("can stand in it"));
        let guess = |paths: &[&str], known: &[&str]| {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            Pattern::guess(&paths, |image| known.contains(&image)).map(|pattern| pattern.text().to_owned())
        };
        assert_eq!(guess(&["a_0.png", "a_1.png"], &["a"]).unwrap(), "{image}_{seed}");
        assert_eq!(guess(&["0801/0.png", "0802/0.png"], &["0801"]).unwrap(), "{image}/{seed}");
        assert_eq!(guess(&["0/0801.png", "1/0801.png"], &["0801"]).unwrap(), "{seed}/{image}");
        assert_eq!(guess(&["100/a/0.png"], &["a"]).unwrap(), "{step}/{image}/{seed}");
        assert!(guess(&["a.png"], &["a"]).unwrap_err().to_string().contains("such as a.png"));
    }
}
