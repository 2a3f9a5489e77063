//! What a post-processor puts around a text, or around two.

use tokenizers::{Encoding, PostProcessor, Token};

/// Stand for the ids of the texts while the post-processor is asked.
const FIRST: u32 = u32::MAX;
const SECOND: u32 = u32::MAX - 1;

/// Tokens and texts in the order of a row, each with the type that its ids have.
#[derive(Debug, Clone)]
pub(super) struct Frame(pub(super) Vec<(Part, i32)>);

/// One of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A token that the post-processor adds.
    Token(u32),
    /// The ids of the text, or of the first of two.
    First,
    /// The ids of the second.
    Second,
}

impl Frame {
    /// The frame of one text or of a `pair`, with the tokens that the file puts there or without.
    pub(super) fn new(
        stages: &tokenizers::Tokenizer,
        pair: bool,
        special_tokens: bool,
    ) -> tokenizers::Result<Self> {
        let text = |id, kind| Encoding::from_tokens(vec![Token::new(id, "x".into(), (0, 1))], kind);
        let second = pair.then(|| text(SECOND, 1));
        let framed = match stages.get_post_processor() {
            Some(processor) => processor.process(text(FIRST, 0), second, special_tokens)?,
            None => Encoding::merge([Some(text(FIRST, 0)), second].into_iter().flatten(), false),
        };
        let part = |&id: &u32| match id {
            FIRST => Part::First,
            SECOND => Part::Second,
            id => Part::Token(id),
        };
        let kinds = framed.get_type_ids().iter().map(|&kind| kind as i32);
        let frame = Self(framed.get_ids().iter().map(part).zip(kinds).collect());
        let holds = |part| frame.0.iter().any(|&(p, _)| p == part);
        match holds(Part::First) && (!pair || holds(Part::Second)) {
            true => Ok(frame),
            false => Err("its template drops the text".into()),
        }
    }

    /// How many tokens it adds.
    pub(super) fn added(&self) -> usize {
        self.0.iter().filter(|(part, _)| matches!(part, Part::Token(_))).count()
    }

    /// Whether the text is there once, and 31 bits hold the ids of the tokens.
    pub(super) fn is_plain(&self) -> bool {
        let fits = |&(part, _): &(Part, i32)| match part {
            Part::Token(id) => i32::try_from(id).is_ok(),
            _ => true,
        };
        self.0.iter().filter(|(part, _)| *part == Part::First).count() == 1
            && self.0.iter().all(fits)
    }

    /// Appends the tokens before the text; gives what comes after it.
    pub(super) fn begin(&self, ids: &mut Vec<i32>) -> &[(Part, i32)] {
        let at = self.0.iter().position(|&(part, _)| part == Part::First);
        let (before, rest) = self.0.split_at(at.expect("`new` refuses a frame without the text"));
        push(before, ids);
        &rest[1..]
    }
}

/// Appends some tokens of a frame that [`Frame::is_plain`].
pub(super) fn push(tokens: &[(Part, i32)], ids: &mut Vec<i32>) {
    ids.extend(tokens.iter().filter_map(|&(part, _)| match part {
        Part::Token(id) => Some(id as i32),
        _ => None,
    }));
}
