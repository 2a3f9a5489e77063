//! Batches of like length, and rectangles of ragged ids.

use magnetite_core::Error;
use magnetite_core::text::batch::{MOST_WIDTHS, grid, pack};
use magnetite_core::text::{Padding, Ragged, Width, columns};
use proptest::prelude::*;

fn lengths() -> impl Strategy<Value = (Vec<i64>, usize)> {
    // Limits of real models among them, and 1; lengths skewed to the short, as sentences are.
    let limit = prop_oneof![Just(1), Just(128), Just(512), Just(8192), 1usize..2000];
    limit.prop_flat_map(|max| {
        let length = (0.0..=1.0f64).prop_map(move |x| (x * x * max as f64) as i64);
        (prop::collection::vec(length, 0..500), Just(max))
    })
}

proptest! {
    #[test]
    fn every_row_is_in_one_batch_of_the_budget_on_the_grid(
        (lengths, max) in lengths(),
        budget in 1usize..20_000,
    ) {
        let widths = grid(max);
        let batches = pack(&lengths, budget, max).unwrap();
        let mut seen = vec![0; lengths.len()];
        for batch in &batches {
            prop_assert!(!batch.rows.is_empty());
            prop_assert!(batch.rows.len() == 1 || batch.rows.len() * batch.width <= budget);
            prop_assert!(widths.binary_search(&batch.width).is_ok());
            for &row in &batch.rows {
                prop_assert!(lengths[row as usize] <= batch.width as i64);
                seen[row as usize] += 1;
            }
        }
        prop_assert!(seen.iter().all(|&times| times == 1));
        let order: Vec<(i64, i64)> =
            batches.iter().flat_map(|b| &b.rows).map(|&row| (-lengths[row as usize], row)).collect();
        prop_assert!(order.is_sorted(), "longest first, equal lengths in order");
    }

    #[test]
    fn a_grid_rises_to_its_end_in_at_most_eighty_even_steps(max in prop_oneof![1usize..5000, any::<usize>()]) {
        prop_assume!(max > 0);
        let widths = grid(max);
        prop_assert!(widths.len() <= MOST_WIDTHS);
        prop_assert_eq!((widths[0], widths[widths.len() - 1]), (1, max));
        prop_assert!(widths.windows(2).all(|w| w[0] < w[1]));
        if max <= 512 {
            // The padding of a row is less than a step: 7 % suffices up to 512 tokens.
            prop_assert!(widths.windows(2).all(|w| w[1] - w[0] <= 1 + w[0] * 7 / 100), "{:?}", widths);
        }
    }

    #[test]
    fn a_rectangle_holds_its_rows_and_nothing_else(
        rows in prop::collection::vec(prop::collection::vec(0i32..100, 0..6), 0..8),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        spare in 0usize..3,
        left: bool,
    ) {
        let ids = rows.concat();
        let starts: Vec<i64> = std::iter::once(0)
            .chain(rows.iter().scan(0, |end, row| { *end += row.len() as i64; Some(*end) }))
            .collect();
        let picks: Vec<usize> =
            if rows.is_empty() { vec![] } else { picks.iter().map(|p| p.index(rows.len())).collect() };
        let ragged = Ragged::new(&ids, &starts).unwrap();
        let width = ragged.longest() + spare;
        let padding = Padding { id: -7, left, ..Padding::default() };
        let (cells, mask) = padding.fill(ragged, picks.iter().copied(), width).unwrap();
        for (place, &row) in picks.iter().enumerate() {
            let blank = width - rows[row].len();
            let mut wanted: Vec<(i64, i64)> = rows[row].iter().map(|&id| (id.into(), 1)).collect();
            let at = if left { 0 } else { wanted.len() };
            wanted.splice(at..at, std::iter::repeat_n((-7, 0), blank));
            let got = (place * width..(place + 1) * width).map(|i| (cells[i], mask[i]));
            prop_assert!(got.eq(wanted));
        }
    }
}

#[test]
fn few_rows_share_a_batch_and_many_get_their_own_width() {
    let few: Vec<i64> = (5..37).collect();
    assert!(pack(&few, 16_384, 512).unwrap().len() < 8);
    let many: Vec<i64> = (0..100_000).map(|i| 5 + i % 32).collect();
    let cells: usize =
        pack(&many, 16_384, 512).unwrap().iter().map(|b| b.rows.len() * b.width).sum();
    let ids: i64 = many.iter().sum();
    assert!((cells as f64) < 1.02 * ids as f64, "{cells} cells for {ids} ids");
}

#[test]
fn what_cannot_be_packed_or_filled_is_refused() {
    for (lengths, budget, max) in [(&[3][..], 8, 2), (&[-1], 8, 2), (&[1], 0, 2), (&[1], 8, 0)] {
        assert!(matches!(pack(lengths, budget, max), Err(Error::Range { .. })));
    }
    for starts in [&[][..], &[1, 2], &[0, 1], &[0, 2, 1, 2], &[0, 3], &[0, -1, 2]] {
        assert!(matches!(Ragged::new(&[8, 9], starts), Err(Error::Range { .. })), "{starts:?}");
    }
    let ragged = Ragged::new(&[8, 9], &[0, 2]).unwrap();
    let fill = |row, width| Padding::default().fill(ragged, std::iter::once(row), width);
    for (row, width) in [(1, 2), (usize::MAX, 2), (0, 1), (0, usize::MAX)] {
        assert!(matches!(fill(row, width), Err(Error::Range { .. })), "row {row}, width {width}");
    }
}

#[test]
fn a_file_may_ask_for_wider_rectangles_than_its_longest_row() {
    let padding = Padding { width: Width::AtLeast(10), multiple: 8, ..Padding::default() };
    assert_eq!([0, 10, 16, 17].map(|longest| padding.wide(longest)), [16, 16, 16, 24]);
    assert_eq!([0, 3].map(|longest| Padding::default().wide(longest)), [0, 3]);
}

proptest! {
    #[test]
    fn a_column_of_bytes_gives_its_texts_or_the_row_that_is_none(
        texts in prop::collection::vec("\\PC{0,6}", 0..8),
        row in 0usize..100,
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut data: Vec<u8> = texts.concat().into_bytes();
        let mut offsets = vec![0i32];
        offsets.extend(texts.iter().scan(0, |end, text| { *end += text.len() as i32; Some(*end) }));
        if let Some((at, byte)) = damage.filter(|_| !data.is_empty()) {
            let at = at.index(data.len());
            data[at] = byte;
        }
        let rows: Vec<&[u8]> =
            offsets.windows(2).map(|ends| &data[ends[0] as usize..ends[1] as usize]).collect();
        let mut found = vec![""; row];
        let done = columns::utf8(&offsets, &data, row, &mut found);
        match rows.iter().position(|bytes| str::from_utf8(bytes).is_err()) {
            None => {
                prop_assert!(done.is_ok());
                let found: Vec<&[u8]> = found[row..].iter().map(|text| text.as_bytes()).collect();
                prop_assert_eq!(found, rows);
            }
            Some(bad) => {
                let message = done.unwrap_err().to_string();
                prop_assert!(message.ends_with(&format!("row {}", row + bad)), "{}", message);
            }
        }
    }

    #[test]
    fn a_row_of_code_points_is_its_text(text in "\\PC{0,9}", spare in 0usize..3) {
        let width = text.chars().count() + spare;
        let mut points: Vec<u32> = text.chars().map(u32::from).collect();
        points.resize(width, 0);
        if width > 0 {
            prop_assert_eq!(columns::utf32(&points, width), vec![text]);
        }
    }
}

#[test]
fn offsets_that_fall_or_leave_the_data_are_refused() {
    for offsets in [[0, 2, 1], [0, 1, 9], [0, 1, -1], [-1, 1, 2], [i64::MIN, 0, i64::MAX]] {
        assert!(columns::utf8(&offsets, b"abc", 0, &mut Vec::new()).is_err(), "{offsets:?}");
    }
    assert!(columns::utf8::<i64>(&[], b"", 0, &mut Vec::new()).is_ok());
}
