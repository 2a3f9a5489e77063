//! Each fast path beside its slow twin: the same file with the crate alone.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fast::Stop;
use super::tokenizer::{Asked, Tokenizer};
use crate::{Cancel, Threads};

/// Both tokenizers of a file, and the engine that one of them must have.
type Twins = (Tokenizer, Tokenizer, &'static str);

static ALL: LazyLock<Vec<Twins>> = LazyLock::new(|| {
    let plain = |mut file: Value| {
        file["normalizer"] = Value::Null;
        file
    };
    vec![
        twins(golden("wordpiece"), "wordpiece"),
        twins(cased(golden("wordpiece")), "wordpiece"),
        twins(golden("byte_level_bpe"), "byte-level bpe"),
        twins(by_pattern(golden("byte_level_bpe")), "byte-level bpe"),
        twins(plain(golden("unigram")), "unigram"),
        twins(pieces(false), "sentencepiece bpe"),
        twins(pieces(true), "sentencepiece bpe"),
    ]
});

fn golden(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/tokenizers");
    let text = std::fs::read_to_string(folder.join(name).with_extension("json"));
    serde_json::from_str(&text.expect("a golden file")).expect("JSON")
}

fn cased(mut file: Value) -> Value {
    file["normalizer"]["lowercase"] = false.into();
    file["truncation"] = json!({
        "direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0,
    });
    file["added_tokens"][4]["single_word"] = true.into();
    file
}

fn by_pattern(mut file: Value) -> Value {
    let regex = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    file["normalizer"] = json!({"type": "NFC"});
    file["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
    ]});
    file
}

/// A BPE of a few letters and bytes, with marks by the normalizer or the pre-tokenizer.
fn pieces(by_splitter: bool) -> Value {
    let bytes = (0..=255u8).map(|b| format!("<0x{b:02X}>"));
    let merged = ["▁t", "he", "▁the", "in", "▁▁", "▁▁▁▁", "th", "e,"];
    let letters = "▁abcdefghinorst,.中é'".chars().map(String::from);
    let tokens = ["<unk>".to_owned()].into_iter().chain(bytes).chain(letters);
    let tokens = tokens.chain(merged.map(String::from));
    let vocab: serde_json::Map<String, Value> =
        tokens.enumerate().map(|(id, token)| (token, id.into())).collect();
    let merges = ["▁ t", "h e", "▁t he", "i n", "▁ ▁", "▁▁ ▁▁", "t h", "e ,"];
    let mark = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ]});
    let split = json!({
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true,
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [
            {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": true,
             "normalized": false, "special": true}],
        "normalizer": if by_splitter { Value::Null } else { mark },
        "pre_tokenizer": if by_splitter { split } else { Value::Null },
        "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "fuse_unk": true,
            "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": merges},
    })
}

fn twins(file: Value, engine: &'static str) -> Twins {
    let load = || Tokenizer::from_json(file.to_string(), Path::new("a twin")).expect("a tokenizer");
    let (fast, mut slow) = (load(), load());
    Arc::get_mut(&mut slow.stages).expect("nobody has it yet").fast = None;
    (fast, slow, engine)
}

/// Words of the files, their added tokens, spaces of every kind, and any characters at all.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let word = prop_oneof![
        4 => "[a-zA-Z]{1,9}",
        2 => "[ ]{1,3}",
        2 => "[a-z',.0-9 \n\t]{1,8}",
        1 => "(\\[MASK\\]|<unk>|</s>|##|'S|'\u{17f}|the|é|e\u{301}|中文|한국|👍🏽|▁|\u{a0}|\r\n|\u{0})",
        1 => "\\PC{1,4}",
        1 => any::<String>().prop_map(|text| text.chars().take(6).collect()),
    ];
    let text = prop::collection::vec(word, 0..12).prop_map(|words| words.concat());
    prop::collection::vec(text, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn ids_of_a_fast_path_are_those_of_its_slow_twin(
        texts in texts(),
        max_tokens in prop::option::of(3usize..20),
        special_tokens: bool,
        offsets: bool,
    ) {
        let asked = Asked { max_tokens, special_tokens, offsets };
        for (fast, slow, engine) in ALL.iter() {
            prop_assert_eq!((fast.engine(), slow.engine()), (*engine, "tokenizers"));
            let ids = |tokenizer: &Tokenizer| {
                tokenizer.encode_batch(&texts, asked, Threads::ONE, &Cancel::new()).expect("ids")
            };
            prop_assert_eq!(ids(fast), ids(slow));
        }
    }

    #[test]
    fn pairs_of_a_fast_path_are_those_of_its_slow_twin(
        texts in texts(),
        max_tokens in prop::option::of(6usize..30),
        offsets: bool,
    ) {
        let asked = Asked { max_tokens, offsets, ..Asked::default() };
        let others: Vec<&String> = texts.iter().rev().collect();
        let texts: Vec<&String> = texts.iter().collect();
        for (fast, slow, _) in ALL.iter() {
            let row = |tokenizer: &Tokenizer| {
                tokenizer.encode_pairs(&texts, &others, asked, None, Threads::ONE, &Cancel::new())
            };
            prop_assert_eq!(row(fast).expect("rows"), row(slow).expect("rows"));
        }
    }
}

/// Else offsets would be right and nobody would see that they are slow.
#[test]
fn characters_of_ordinary_text_are_known_without_the_crate() {
    let texts =
        ["the quick brown fox", " the  ring and the other ", "naïve  café, don't \n", "한국어 tö"];
    for (tokenizer, _, engine) in ALL.iter() {
        let fast = tokenizer.stages.fast.as_ref().expect("a fast path");
        // The small Unigram does not know the other characters.
        for text in texts.into_iter().filter(|text| text.is_ascii() || *engine != "unigram") {
            let (mut ids, mut spans, mut loan) = (Vec::new(), Vec::new(), fast.lend());
            let cancel = Cancel::new();
            let stop = Stop::new(usize::MAX, &cancel);
            fast.encode(text, loan.scratch(), &mut ids, stop).expect("ids");
            assert!(fast.spans(text, &ids, true, &mut spans), "{engine}: {text:?} {ids:?}");
            assert_eq!(spans.len(), 2 * ids.len());
        }
    }
}
