//! SentencePiece: Unigram and BPE with marks for spaces.

use std::collections::HashMap;

use serde::Deserialize;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

use super::{Stages, byte_level};
use crate::text::fast::{Before, Meta, PieceModel, UnigramModel};

const MARK: char = '\u{2581}';

/// A Unigram behind a charsmap or nothing, cut at spaces.
pub(super) fn read_unigram(model: &Unigram, stages: &Stages, json: &str) -> Option<UnigramModel> {
    if !matches!(stages.normalizer, None | Some(NormalizerWrapper::Precompiled(_))) {
        return None;
    }
    let meta = match stages.splitter.as_ref()? {
        PreTokenizerWrapper::Metaspace(meta) => Meta::Mark { before: prepends(meta)? },
        PreTokenizerWrapper::Sequence(sequence) => match sequence.as_ref() {
            [PreTokenizerWrapper::WhitespaceSplit(_), PreTokenizerWrapper::Metaspace(meta)]
                if prepends(meta)? =>
            {
                Meta::Split
            }
            _ => return None,
        },
        _ => return None,
    };
    let pieces: Vec<(String, f64)> = model.iter().cloned().collect();
    let usual = |(piece, score): &(String, f64)| !piece.is_empty() && score.is_finite();
    let unknown = serde_json::from_str::<File>(json).ok()?.model.unk_id?;
    if !pieces.iter().all(usual) || i32::try_from(pieces.len()).is_err() || model.alpha.is_some() {
        return None;
    }
    let ids: HashMap<&str, i32> =
        (0..).zip(&pieces).map(|(id, (piece, _))| (&**piece, id)).collect();
    let bytes = match model.byte_fallback() {
        true => (0..=u8::MAX).map(|b| ids.get(&*format!("<0x{b:02X}>")).copied()).collect(),
        false => Vec::new(),
    };
    Some(UnigramModel { unknown: i32::try_from(unknown).ok()?, bytes, meta, pieces })
}

/// Whether a mark is put before text that begins with none; `None` if only sometimes, or else.
fn prepends(meta: &Metaspace) -> Option<bool> {
    let usual = meta.get_replacement() == MARK && meta.get_split();
    match meta.prepend_scheme {
        _ if !usual => None,
        PrependScheme::Always => Some(true),
        PrependScheme::Never => Some(false),
        PrependScheme::First => None,
    }
}

#[derive(Deserialize)]
struct File {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    unk_id: Option<usize>,
}

/// A BPE of characters behind stages that make marks of spaces.
pub(super) fn read_bpe(model: &BPE, stages: &Stages, json: &str) -> Option<PieceModel> {
    let normalizer = marks(stages.normalizer.as_ref())?;
    let (splitter, each) = match &stages.splitter {
        None if normalizer.is_some() => (None, false),
        Some(PreTokenizerWrapper::Metaspace(meta)) if normalizer.is_none() => {
            let before = match meta.prepend_scheme {
                PrependScheme::Always => Before::Unmarked,
                PrependScheme::First => Before::First,
                PrependScheme::Never => Before::Never,
            };
            (Some(before), meta.get_split())
        }
        _ => return None,
    };
    if let Some(PreTokenizerWrapper::Metaspace(meta)) = &stages.splitter
        && meta.get_replacement() != MARK
    {
        return None;
    }
    if model.ignore_merges {
        return None;
    }
    let vocabulary = tokenizers::Model::get_vocab(model);
    let id = |token: &str| vocabulary.get(token).and_then(|&id| i32::try_from(id).ok());
    let bytes = match model.byte_fallback {
        true => Some(byte_tokens(id)?),
        false => None,
    };
    let unknown = model.unk_token.as_deref().and_then(|token| Some((id(token)?, token)));
    // Without either, characters would vanish, and what is beside them would meet.
    if bytes.is_none() && unknown.is_none_or(|(_, token)| token.contains(MARK)) {
        return None;
    }
    let mut tokens = vocabulary
        .iter()
        .map(|(token, &id)| Some((token.clone(), i32::try_from(id).ok()?)))
        .collect::<Option<Vec<_>>>()?;
    tokens.sort_unstable_by(|(a, i), (b, j)| (i, a).cmp(&(j, b)));
    id(&MARK.to_string())?;
    let merges = byte_level::merges(model, &vocabulary, json)?;
    let names: HashMap<i32, &str> =
        vocabulary.iter().map(|(token, &id)| (id as i32, &**token)).collect();
    let mut joins = [0; 128];
    for ((left, right), _) in &merges {
        let (left, right) = (*names.get(left)?, *names.get(right)?);
        if inner_mark(&format!("{left}{right}")) {
            return None;
        }
        join(&mut joins, left, right);
    }
    // A character without a token is something else than its name, so nothing is known of it.
    for b in (0..128u8).filter(|&b| id(char::from(b).encode_utf8(&mut [0; 4])).is_none()) {
        joins[usize::from(b)] = u128::MAX;
        joins.iter_mut().for_each(|row| *row |= 1 << b);
    }
    let unknown = unknown.map_or(-1, |(id, _)| id);
    let fuse = model.fuse_unk;
    Some(PieceModel { tokens, bytes, unknown, fuse, merges, joins, normalizer, splitter, each })
}

/// Whether a normalizer makes marks of spaces and nothing else (`Some`), and puts one before the text;
/// the outer `None` if it does something else.
fn marks(normalizer: Option<&NormalizerWrapper>) -> Option<Option<bool>> {
    let replaces = |normalizer: &NormalizerWrapper| {
        let NormalizerWrapper::Replace(replace) = normalizer else { return false };
        let shape = serde_json::json!({
            "type": "Replace", "pattern": {"String": " "}, "content": MARK.to_string(),
        });
        serde_json::to_value(replace).is_ok_and(|value| value == shape)
    };
    match normalizer {
        None => Some(None),
        Some(NormalizerWrapper::Sequence(sequence)) => match sequence.as_ref() {
            [NormalizerWrapper::Prepend(prepend), rest]
                if prepend.prepend == MARK.to_string() && replaces(rest) =>
            {
                Some(Some(true))
            }
            _ => None,
        },
        Some(alone) => replaces(alone).then_some(Some(false)),
    }
}

/// The token of each byte, if there is one of every byte.
fn byte_tokens(id: impl Fn(&str) -> Option<i32>) -> Option<[i32; 256]> {
    let mut tokens = [0; 256];
    for (token, b) in tokens.iter_mut().zip(0..=u8::MAX) {
        *token = id(&format!("<0x{b:02X}>"))?;
    }
    Some(tokens)
}

/// Notes that a merge joins the last character of `left` to the first of `right`, if they are ASCII.
fn join(joins: &mut [u128; 128], left: &str, right: &str) {
    if let (Some(&a @ 0..128), Some(&b @ 0..128)) =
        (left.as_bytes().last(), right.as_bytes().first())
    {
        joins[usize::from(a)] |= 1 << b;
    }
}

/// Whether a mark stands behind another character.
fn inner_mark(token: &str) -> bool {
    let chars = || token.chars();
    chars().zip(chars().skip(1)).any(|(a, b)| a != MARK && b == MARK)
}
