//! Byte-level BPE: GPT-2 and its kin.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;
use tokenizers::SplitDelimiterBehavior;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::utils::SysRegex;

use super::Stages;
use crate::text::fast::{ByteModel, Class, Pattern};

/// The largest id that the arrays hold.
const MOST: u32 = i32::MAX as u32;

/// The model and its stages, if all of them are understood.
pub(super) fn read(model: &BPE, stages: &Stages, json: &str) -> Option<ByteModel> {
    let composes = match stages.normalizer {
        None => false,
        Some(NormalizerWrapper::NFC(_)) => true,
        Some(_) => return None,
    };
    let (pattern, prefix_space) = pattern(stages.splitter.as_ref()?)?;
    let vocabulary = model.get_vocab();
    let alphabet = alphabet();
    let byte_of: HashMap<char, u8> = alphabet.iter().copied().zip(0..=u8::MAX).collect();
    let spelled = |(token, &id): (&String, &u32)| {
        // A token with another character is none that bytes could make.
        let bytes: Option<Vec<u8>> = token.chars().map(|c| byte_of.get(&c).copied()).collect();
        Some((bytes?, i32::try_from(id).ok()?))
    };
    let mut tokens: Vec<(Vec<u8>, i32)> = vocabulary.iter().filter_map(spelled).collect();
    tokens.sort_unstable_by(|(a, i), (b, j)| (i, a).cmp(&(j, b)));
    let mut bytes = [-1; 256];
    for (c, b) in alphabet.into_iter().zip(0..=u8::MAX) {
        match vocabulary.get(c.encode_utf8(&mut [0; 4])) {
            Some(&id) => bytes[usize::from(b)] = i32::try_from(id).ok()?,
            None if matches!(b, 0xc0 | 0xc1 | 0xf5..) => {} // never in UTF-8
            None => return None,
        }
    }
    Some(ByteModel {
        tokens,
        bytes,
        merges: merges(model, &vocabulary, json)?,
        ignore_merges: model.ignore_merges,
        pattern,
        prefix_space,
        composes,
        classify,
    })
}

/// The pattern that cuts text into words, and whether text gets a space before it.
fn pattern(splitter: &PreTokenizerWrapper) -> Option<(Pattern, bool)> {
    match splitter {
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex => {
            Some((Pattern::Gpt2, bytes.add_prefix_space))
        }
        PreTokenizerWrapper::Sequence(sequence) => match sequence.as_ref() {
            [PreTokenizerWrapper::Split(split), PreTokenizerWrapper::ByteLevel(bytes)]
                if !bytes.use_regex && !bytes.add_prefix_space && keeps_matches(split) =>
            {
                let SplitPattern::Regex(regex) = &split.pattern else { return None };
                Some((Pattern::of(regex)?, false))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether the words are what the pattern matches: it matches everything, so nothing is between them.
fn keeps_matches(split: &Split) -> bool {
    match split.behavior {
        SplitDelimiterBehavior::Isolated => true,
        SplitDelimiterBehavior::Removed => split.invert,
        _ => false,
    }
}

/// The character that stands for each byte: itself where it can be seen, else one from U+0100 on.
fn alphabet() -> Vec<char> {
    let seen = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = '\u{100}'..;
    let mut shown = |b| if seen(b) { Some(char::from(b)) } else { others.next() };
    (0..=u8::MAX).filter_map(&mut shown).collect()
}

/// The pairs that the model merges and what they become, the earliest first.
///
/// None if the model does more than merge: what it drops, marks or leaves to chance is the crate's.
pub(super) fn merges(
    model: &BPE,
    vocabulary: &HashMap<String, u32>,
    json: &str,
) -> Option<Vec<((i32, i32), i32)>> {
    let plain = |affix: &Option<String>| affix.as_ref().is_none_or(String::is_empty);
    if model.dropout.is_some_and(|share| share != 0.0)
        || !plain(&model.continuing_subword_prefix)
        || !plain(&model.end_of_word_suffix)
    {
        return None;
    }
    // Two tokens of one id could be merged where their names could not.
    let mut ids: Vec<u32> = vocabulary.values().copied().collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) || ids.last().is_some_and(|&id| id > MOST) {
        return None;
    }
    let id = |token: &str| vocabulary.get(token).and_then(|&id| i32::try_from(id).ok());
    let pair = |left: &str, right: &str| {
        // An empty side would make a pair that is no longer than its parts.
        let whole = !left.is_empty() && !right.is_empty();
        Some(((id(left)?, id(right)?), id(&format!("{left}{right}"))?)).filter(|_| whole)
    };
    match serde_json::from_str::<File>(json).ok()?.model.merges {
        Listed::Pairs(pairs) => pairs.iter().map(|(left, right)| pair(left, right)).collect(),
        Listed::Lines(lines) => {
            let lines = lines.iter().filter(|line| !line.starts_with("#version"));
            lines.map(|line| line.split_once(' ').and_then(|(l, r)| pair(l, r))).collect()
        }
    }
}

#[derive(Deserialize)]
struct File {
    model: Merged,
}

#[derive(Deserialize)]
struct Merged {
    merges: Listed,
}

/// Merges as new files list them, and as old ones do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Pairs(Vec<(String, String)>),
    Lines(Vec<String>),
}

/// Each class, and what the crate's regular expressions call runs of it: few matches a page.
static CLASSES: LazyLock<[(SysRegex, Class); 4]> = LazyLock::new(|| {
    [
        (r"\p{L}+", Class::Letter),
        (r"\p{N}+", Class::Number),
        (r"\s+", Class::Space),
        (r"[\r\n]+", Class::Line),
    ]
    .map(|(regex, class)| (SysRegex::new(regex).expect("a class is an expression"), class))
});

/// The classes of characters, as the crate's regular expressions see them.
fn classify(text: &str) -> Vec<Class> {
    let mut classes = vec![Class::Other; text.len()];
    for (regex, class) in CLASSES.iter() {
        for (start, end) in regex.find_iter(text) {
            classes[start..end].fill(*class);
        }
    }
    text.char_indices().map(|(at, _)| classes[at]).collect()
}

#[cfg(test)]
mod tests {
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    use super::*;

    #[test]
    fn the_alphabet_of_bytes_is_the_crates() {
        let ours = alphabet();
        assert_eq!(ours.iter().collect::<std::collections::HashSet<_>>().len(), 256);
        assert!(ours.iter().all(|c| ByteLevel::alphabet().contains(c)));
        assert_eq!([ours[0x61], ours[0x20], ours[0x0a]], ['a', '\u{120}', '\u{10a}']);
    }
}
