//! Batches of about one cost: rows of like length together, on a short list of widths.
//!
//! A rectangle costs rows × width whatever is in it. Sorting by length keeps padding small; a grid
//! keeps the number of shapes that the graph engine plans for at [`MOST_WIDTHS`] or fewer.

use std::cmp::Reverse;
use std::ops::Range;

use crate::{Error, Result};

/// The most widths on a grid.
pub const MOST_WIDTHS: usize = 80;

/// What one more batch costs beside its cells, in cells: the call itself, and smaller products.
const CALL_TOKENS: usize = 64;

/// Rows that go through the encoder together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Row numbers, longest row first, equal ones in order.
    pub rows: Vec<i64>,
    /// The width they are padded to.
    pub width: usize,
}

/// The widths up to `max_tokens`, rising, at most [`MOST_WIDTHS`]: 1, 2, 3, … while a step of one is
/// more than 5 %, then 5 % apart, or as little more as it takes to stay so few.
pub fn grid(max_tokens: usize) -> Vec<usize> {
    let steps = |permille: u128| -> Vec<usize> {
        let next = move |&width: &usize| {
            let step = (width as u128 * permille / 1000).max(1) as usize;
            (width < max_tokens).then(|| width.saturating_add(step).min(max_tokens))
        };
        std::iter::successors(Some(1), next).collect()
    };
    (50..=1000)
        .map(steps)
        .find(|widths| widths.len() <= MOST_WIDTHS)
        .expect("doubling passes the largest usize in 64 steps")
}

/// Every row once, in batches of at most `batch_tokens` cells (a single row may have more).
///
/// `lengths` are ids a row, at most `max_tokens`. Batches come longest first, so that memory is
/// asked for once; the caller writes each batch's results to its `rows`.
pub fn pack(lengths: &[i64], batch_tokens: usize, max_tokens: usize) -> Result<Vec<Batch>> {
    if batch_tokens == 0 {
        return Err(Error::range("batch_tokens", "at least 1", batch_tokens));
    }
    if max_tokens == 0 {
        return Err(Error::range("max_tokens", "at least 1", max_tokens));
    }
    let fits = |&length: &i64| usize::try_from(length).is_ok_and(|length| length <= max_tokens);
    if let Some(row) = lengths.iter().position(|length| !fits(length)) {
        let want = format!("0 to max_tokens, {max_tokens}, in every row");
        return Err(Error::range("length", want, format!("{} in row {row}", lengths[row])));
    }
    let grid = grid(max_tokens);
    let width_of = |row: i64| {
        let length = lengths[row as usize] as usize;
        grid[grid.partition_point(|&width| width < length)]
    };
    let mut rows: Vec<i64> = (0..lengths.len() as i64).collect();
    rows.sort_by_key(|&row| Reverse(lengths[row as usize]));

    let same: Vec<&[i64]> = rows.chunk_by(|&a, &b| width_of(a) == width_of(b)).collect();
    let groups: Vec<Group> =
        same.iter().map(|rows| Group { rows: rows.len(), width: width_of(rows[0]) }).collect();

    let mut batches = Vec::new();
    let mut rest = &rows[..];
    for run in cheapest_runs(&groups, batch_tokens) {
        let (rows, after) = rest.split_at(groups[run.clone()].iter().map(|g| g.rows).sum());
        rest = after;
        let width = groups[run.start].width;
        let most = (batch_tokens / width).max(1);
        batches.extend(rows.chunks(most).map(|rows| Batch { rows: rows.to_vec(), width }));
    }
    Ok(batches)
}

/// How many rows there are of one width.
struct Group {
    rows: usize,
    width: usize,
}

/// Which neighbouring groups to pad to the widest among them, so that all cells plus [`CALL_TOKENS`]
/// a batch are fewest: few rows share a batch, many get their own. Shortest paths, 80² steps.
fn cheapest_runs(groups: &[Group], batch_tokens: usize) -> Vec<Range<usize>> {
    let mut best = vec![(0, 0)]; // for each number of groups: the cost, and where the last run begins
    for end in 1..=groups.len() {
        let mut rows = 0usize;
        let options = (0..end).rev().map(|start| {
            let Group { rows: more, width } = groups[start];
            rows += more;
            let batches = rows.div_ceil((batch_tokens / width).max(1));
            (best[start].0 + rows as u128 * width as u128 + (batches * CALL_TOKENS) as u128, start)
        });
        best.push(options.min().expect("a run of one group is always an option"));
    }
    let mut runs = Vec::new();
    let mut end = groups.len();
    while end > 0 {
        let start = best[end].1;
        runs.push(start..end);
        end = start;
    }
    runs.reverse();
    runs
}
