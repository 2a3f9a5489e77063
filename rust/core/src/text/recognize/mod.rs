//! Which fast path a file may take: by the structure of what the `tokenizers` crate read from it.
//!
//! Whatever is not fully understood takes none, and the crate does the work.

mod byte_level;
mod sentencepiece;

use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::tokenizer::normalizer::Range;
use tokenizers::{
    Model, ModelWrapper, NormalizedString, Normalizer, OffsetReferential, OffsetType,
    PreTokenizedString, PreTokenizer,
};
use unicode_normalization_alignments::char::canonical_combining_class;
use unicode_normalization_alignments::{IsNormalized, is_nfc_quick};
use unicode_segmentation::UnicodeSegmentation;

use crate::text::fast::{self, Ends, Fast, Rule, Tokens, Vocabulary};

/// The crate's own stages before the model, for what a fast path does not do itself.
#[derive(Debug)]
pub(super) struct Stages {
    normalizer: Option<NormalizerWrapper>,
    splitter: Option<PreTokenizerWrapper>,
    decomposes: bool,
}

impl fast::Stages for Stages {
    fn normalize(&self, text: &str) -> String {
        if let Some(NormalizerWrapper::Precompiled(map)) = &self.normalizer {
            return map.normalize_string(text);
        }
        self.normalized(text).get().to_owned()
    }

    fn origins(&self, text: &str) -> Vec<(char, usize)> {
        let normal = self.normalized(text);
        let (mut ends, mut number) =
            (text.char_indices().skip(1).map(|(end, _)| end).peekable(), 0);
        let mut origin = |(at, c): (usize, char)| {
            let bytes = normal.convert_offsets(Range::Normalized(at..at + c.len_utf8()));
            let start = bytes.expect("a character comes from somewhere").start;
            while ends.next_if(|&end| end <= start).is_some() {
                number += 1;
            }
            (c, number)
        };
        normal.get().char_indices().map(&mut origin).collect()
    }

    fn split(&self, normal: &str) -> Vec<String> {
        let mut pieces = PreTokenizedString::from(normal);
        if let Some(splitter) = &self.splitter {
            splitter.pre_tokenize(&mut pieces).expect("the pre-tokenizers recognised never fail");
        }
        let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        splits.into_iter().map(|(word, _, _)| word.to_owned()).collect()
    }

    fn is_composed(&self, text: &str) -> bool {
        // Nothing below the first combining mark is changed.
        let late = text.chars().filter(|&c| c >= '\u{300}');
        late.clone().next().is_none() || is_nfc_quick(text.chars()) == IsNormalized::Yes
    }

    fn moves(&self, c: char) -> bool {
        self.decomposes && canonical_combining_class(c) != 0
    }

    fn falls_apart(&self, text: &str) -> bool {
        text.graphemes(true).count() == text.chars().count()
    }
}

impl Stages {
    fn normalized(&self, text: &str) -> NormalizedString {
        let mut normal = NormalizedString::from(text);
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut normal).expect("the normalizers recognised never fail");
        }
        normal
    }
}

/// The fast path of a tokenizer, which was read from `json`; `None` if the crate must do the work.
pub(super) fn recognize(all: &tokenizers::Tokenizer, json: &str) -> Option<Fast<Stages>> {
    Some(family(all, json)?.before(ends(all.get_post_processor())))
}

/// What a post-processor does to spaces at the ends of tokens; `None` if that is not known.
fn ends(processor: Option<&PostProcessorWrapper>) -> Option<Ends> {
    let trimmed = |trims: bool, prefix_space: bool| match trims {
        true => Ends::Trimmed { prefix_space },
        false => Ends::Kept,
    };
    match processor {
        None | Some(PostProcessorWrapper::Bert(_) | PostProcessorWrapper::Template(_)) => {
            Some(Ends::Kept)
        }
        Some(PostProcessorWrapper::Roberta(p)) => Some(trimmed(p.trim_offsets, p.add_prefix_space)),
        Some(PostProcessorWrapper::ByteLevel(p)) => {
            Some(trimmed(p.trim_offsets, p.add_prefix_space))
        }
        // Whoever trims must do so before others add their tokens.
        Some(PostProcessorWrapper::Sequence(all)) => match all.as_ref() {
            [] => Some(Ends::Kept),
            [first, rest @ ..] => {
                let keeps = |p: &PostProcessorWrapper| ends(Some(p)) == Some(Ends::Kept);
                ends(Some(first)).filter(|_| rest.iter().all(keeps))
            }
        },
    }
}

/// The fast path of its model and what stands before it.
fn family(all: &tokenizers::Tokenizer, json: &str) -> Option<Fast<Stages>> {
    let tokens = added(all)?;
    let stages = Stages {
        normalizer: all.get_normalizer().cloned(),
        splitter: all.get_pre_tokenizer().cloned(),
        decomposes: false,
    };
    match all.get_model() {
        ModelWrapper::WordPiece(_) => {
            let (stages, vocabulary) = word_piece(all, stages)?;
            Fast::word_piece(stages, &vocabulary, tokens)
        }
        ModelWrapper::BPE(model) => {
            if let Some(model) = byte_level::read(model, &stages, json) {
                return Fast::bytes(stages, &model, tokens);
            }
            let model = sentencepiece::read_bpe(model, &stages, json)?;
            Fast::pieces(stages, &model, tokens)
        }
        ModelWrapper::Unigram(model) => {
            let model = sentencepiece::read_unigram(model, &stages, json)?;
            Fast::unigram(stages, model, tokens)
        }
        _ => None,
    }
}

/// The added tokens: those looked for in the text, and those in what the normalizer made of it.
fn added(all: &tokenizers::Tokenizer) -> Option<Tokens> {
    let vocabulary = all.get_added_vocabulary();
    let mut found = Tokens::default();
    let mut tokens: Vec<_> = vocabulary.get_added_tokens_decoder().iter().collect();
    tokens.sort_unstable_by_key(|(id, _)| **id);
    for (&id, token) in tokens {
        let rule = Rule {
            id: i32::try_from(id).ok()?,
            single_word: token.single_word,
            lstrip: token.lstrip,
            rstrip: token.rstrip,
        };
        if token.normalized {
            found.normalized.push((vocabulary.simple_id_to_token(id)?, rule));
        } else {
            found.raw.push((token.content.clone(), rule));
        }
    }
    Some(found)
}

/// BERT's normalizer, or none, before its pre-tokenizer.
fn word_piece(all: &tokenizers::Tokenizer, stages: Stages) -> Option<(Stages, Vocabulary)> {
    let ModelWrapper::WordPiece(model) = all.get_model() else { return None };
    let Some(PreTokenizerWrapper::BertPreTokenizer(_)) = stages.splitter else { return None };
    let decomposes = match stages.normalizer {
        None => false,
        Some(NormalizerWrapper::BertNormalizer(n)) => n.strip_accents.unwrap_or(n.lowercase),
        Some(_) => return None,
    };
    let signed = |(token, id): (String, u32)| Some((token, i32::try_from(id).ok()?));
    let mut tokens = model.get_vocab().into_iter().map(signed).collect::<Option<Vec<_>>>()?;
    tokens.sort_unstable_by_key(|(_, id)| *id); // most vocabularies begin with what is frequent
    let vocabulary = Vocabulary {
        unknown: i32::try_from(model.token_to_id(&model.unk_token)?).ok()?,
        tokens,
        prefix: model.continuing_subword_prefix.clone(),
        most_chars: model.max_input_chars_per_word,
    };
    Some((Stages { decomposes, ..stages }, vocabulary))
}
