//! CLIP's tokenizer: lower-cased words as bytes, merged pair by pair in the order of a published list (Sennrich et al., "Neural
//! Machine Translation of Rare Words with Subword Units", arXiv 1508.07909), read from `vocab.json` and `merges.txt`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::{Error, Result, input};

/// What the last part of a word ends with.
const WORD_END: &str = "</w>";
const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// What words are cut off at, as `don't` is at `'t`.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
/// The file beside the vocabulary that names the padding.
const SPECIAL: &str = "special_tokens_map.json";

/// A tokenizer.
pub struct ClipBpe {
    vocabulary: HashMap<String, u32>,
    /// The place of each pair in the list of merges.
    merges: HashMap<(String, String), usize>,
    start: u32,
    end: u32,
    pad: u32,
    /// Tokens that are found in a text as they are, whatever stands around them: start, end, and what pads (as transformers has
    /// it, for which an exclamation mark pads in Stable Diffusion 2).
    special: [(String, u32); 3],
    /// The character that stands for each byte.
    letters: Vec<char>,
}

/// A text as the text encoder takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Start, the text, end, padding.
    pub ids: Vec<u32>,
    /// How many tokens of the text had no place.
    pub cut: usize,
}

impl ClipBpe {
    /// Reads both files; what pads a text is in `special_tokens_map.json` beside them, `!` where that is not there (as in Stable
    /// Diffusion 2).
    pub fn open(vocabulary: &Path, merges: &Path) -> Result<Self> {
        Self::open_padded(vocabulary, merges, "!")
    }

    /// The same with what pads a text where no file says so.
    pub fn open_padded(vocabulary: &Path, merges: &Path, pad: &str) -> Result<Self> {
        let otherwise = pad;
        let special = vocabulary.with_file_name(SPECIAL);
        let pad = if special.is_file() { pad_of(&input::read_text(&special)?) } else { None };
        let pad = pad.unwrap_or_else(|| otherwise.to_owned());
        let known: HashMap<String, u32> = serde_json::from_str(&input::read_text(vocabulary)?)
            .map_err(|cause| Error::file(vocabulary, format!("is not a vocabulary of tokens: {cause}")))?;
        let list = merges_of(&input::read_text(merges)?).map_err(|cause| Error::file(merges, cause))?;
        Self::new(known, list, &pad).map_err(|cause| Error::file(vocabulary, cause))
    }

    /// Of a vocabulary, merges from the first to the last, and the token that pads texts. Errors: it lacks a token that every text
    /// needs.
    pub fn new(
        vocabulary: HashMap<String, u32>,
        merges: Vec<(String, String)>,
        pad: &str,
    ) -> std::result::Result<Self, String> {
        let find = |token: &str| vocabulary.get(token).copied().ok_or(format!("the token {token:?} is missing"));
        let letters = letters();
        for letter in &letters {
            find(&letter.to_string())?;
            find(&format!("{letter}{WORD_END}"))?;
        }
        let (start, end) = (find(START)?, find(END)?);
        let special = [(START.to_owned(), start), (END.to_owned(), end), (pad.to_owned(), find(pad)?)];
        let pad = special[2].1;
        let merges = merges.into_iter().enumerate().map(|(rank, pair)| (pair, rank)).collect();
        Ok(Self { vocabulary, merges, start, end, pad, special, letters })
    }

    /// The number of tokens there are.
    pub fn len(&self) -> usize {
        self.vocabulary.values().max().map_or(0, |most| *most as usize + 1)
    }

    /// Whether there is no token; never.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.is_empty()
    }

    /// A text in exactly `positions` tokens: cut where it is longer, padded where it is shorter.
    pub fn encode(&self, text: &str, positions: usize) -> Tokens {
        let mut text = self.tokens(text);
        let room = positions.saturating_sub(2);
        let cut = text.len().saturating_sub(room);
        text.truncate(room);
        let mut ids = vec![self.start];
        ids.append(&mut text);
        ids.push(self.end);
        ids.resize(positions.max(2), self.pad);
        Tokens { ids, cut }
    }

    /// The tokens of a text, without its start and end.
    fn tokens(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        loop {
            let found =
                self.special.iter().filter_map(|(token, id)| Some((rest.find(token.as_str())?, token, id))).min();
            let (before, after) = rest.split_at(found.map_or(rest.len(), |(at, ..)| at));
            let lower = before.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            ids.extend(words(&lower).into_iter().flat_map(|word| self.merged(word)));
            let Some((_, token, id)) = found else { return ids };
            ids.push(*id);
            rest = &after[token.len()..];
        }
    }

    /// The tokens of a word.
    fn merged(&self, word: &str) -> Vec<u32> {
        let mut parts: Vec<String> = word.bytes().map(|byte| self.letters[usize::from(byte)].to_string()).collect();
        if let Some(last) = parts.last_mut() {
            last.push_str(WORD_END);
        }
        while parts.len() > 1 {
            let rank = |pair: &[String]| self.merges.get(&(pair[0].clone(), pair[1].clone())).copied();
            let Some(best) = parts.windows(2).filter_map(rank).min() else { break };
            let mut joined: Vec<String> = Vec::with_capacity(parts.len());
            let mut rest = parts.into_iter().peekable();
            while let Some(part) = rest.next() {
                let is_it = |next: &String| self.merges.get(&(part.clone(), next.clone())) == Some(&best);
                match rest.next_if(is_it) {
                    Some(next) => joined.push(part + &next),
                    None => joined.push(part),
                }
            }
            parts = joined;
        }
        // Every single byte is in the vocabulary; a merge that leads out of it is a fault of the files.
        parts.iter().map(|part| self.vocabulary.get(part).copied().unwrap_or(self.end)).collect()
    }
}

/// The words of a lower-case text: contractions, runs of letters, single digits, runs of what is neither.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let fixed = CONTRACTIONS.iter().find(|fixed| rest.starts_with(**fixed));
        let length = match fixed {
            Some(fixed) => fixed.len(),
            None if first.is_whitespace() => first.len_utf8(),
            None if first.is_numeric() => first.len_utf8(),
            None if first.is_alphabetic() => run(|c| c.is_alphabetic() && !c.is_numeric()),
            None => run(|c| !(c.is_whitespace() || c.is_alphabetic() || c.is_numeric())),
        };
        let (word, after) = rest.split_at(length);
        if !first.is_whitespace() {
            words.push(word);
        }
        rest = after;
    }
    words
}

/// The character that stands for each byte: itself where it is printed, else one from 256 on.
fn letters() -> Vec<char> {
    let is_printed =
        |byte: u32| (33..=126).contains(&byte) || (161..=172).contains(&byte) || (174..=255).contains(&byte);
    let mut others = 256..;
    let letter = |byte: u32| if is_printed(byte) { Some(byte) } else { others.next() };
    (0..256).filter_map(letter).filter_map(char::from_u32).collect()
}

/// The pairs of a list of merges, whose first line may say its version.
fn merges_of(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version") && !line.trim().is_empty());
    let pair = |(number, line): (usize, &str)| {
        let mut parts = line.split(' ');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(a), Some(b), None) => Ok((a.to_owned(), b.trim_end().to_owned())),
            _ => Err(format!("line {} is not a pair of tokens", number + 1)),
        }
    };
    lines.map(pair).collect()
}

/// The token that pads texts: a string, or an object that has it as `content`.
fn pad_of(map: &str) -> Option<String> {
    let map: Value = serde_json::from_str(map).ok()?;
    let pad = map.get("pad_token")?;
    pad.as_str().or_else(|| pad.get("content")?.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes, and a few words.
    fn small() -> ClipBpe {
        let merges = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")];
        let merges: Vec<_> = merges.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let single = letters().into_iter().map(String::from);
        let last = letters().into_iter().map(|letter| format!("{letter}{WORD_END}"));
        let pairs = merges.iter().map(|(a, b)| format!("{a}{b}"));
        let all = single.chain(last).chain(pairs).chain([START.to_owned(), END.to_owned()]);
        ClipBpe::new(all.zip(0..).collect(), merges, "!").unwrap()
    }

    #[test]
    fn words_are_cut_as_clip_cuts_them() {
        assert_eq!(
            words("i don't know: 2024, 'tis"),
            ["i", "don", "'t", "know", ":", "2", "0", "2", "4", ",", "'t", "is"]
        );
        assert_eq!(words("été…!? a"), ["été", "…!?", "a"]);
    }

    #[test]
    fn texts_are_merged_cut_and_padded() {
        let bpe = small();
        let id = |token: &str| bpe.vocabulary[token];
        let tokens = bpe.encode("  A Cat,\n dog", 8);
        let comma = id(&format!(",{WORD_END}"));
        let expected = [id(START), id("a</w>"), id("cat</w>"), comma, id("dog</w>"), id(END), id("!"), id("!")];
        assert_eq!((tokens.ids.as_slice(), tokens.cut), (expected.as_slice(), 0));
        let long = bpe.encode("cat dog cat dog", 4);
        assert_eq!((long.ids, long.cut), (vec![id(START), id("cat</w>"), id("dog</w>"), id(END)], 2));
        assert_eq!(bpe.encode("", 3).ids, [id(START), id(END), id("!")]);
        let special = bpe.encode("a!<|endoftext|>cat", 6).ids;
        assert_eq!(special, [id(START), id("a</w>"), id("!"), id(END), id("cat</w>"), id(END)]);
    }

    #[test]
    fn files_that_are_none_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let [vocabulary, merges] = ["vocab.json", "merges.txt"].map(|name| dir.path().join(name));
        std::fs::write(&merges, "#version: 0.2\na b\n").unwrap();
        for (text, cause) in [("[]", "is not a vocabulary"), ("{\"a\": 1}", "is missing")] {
            std::fs::write(&vocabulary, text).unwrap();
            let error = ClipBpe::open(&vocabulary, &merges).err().unwrap().to_string();
            assert!(error.contains("vocab.json") && error.contains(cause) && error.lines().count() == 1, "{error}");
        }
        std::fs::write(&merges, "a b c\n").unwrap();
        std::fs::write(&vocabulary, "{}").unwrap();
        let error = ClipBpe::open(&vocabulary, &merges).err().unwrap().to_string();
        assert!(error.contains("merges.txt: line 1"), "{error}");
    }
}
