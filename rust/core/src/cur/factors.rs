//! What a round asks of the dense index that holds the factors: rows to regress on, and the rows that
//! a vector likes best.

use std::collections::BTreeMap;

use crate::dense::{Index, Search};
use crate::topk::Scored;
use crate::{Cancel, MatrixRef, Result, Threads};

/// The numbers of the rows at `positions`, as they are kept.
pub(super) fn rows(index: &Index, positions: impl Iterator<Item = usize>) -> Result<Vec<f64>> {
    let (mut row, mut out) = (vec![0.0; index.dim()], Vec::new());
    for position in positions {
        index.read_at(position, &mut row)?;
        out.extend(row.iter().map(|&x| f64::from(x)));
    }
    Ok(out)
}

/// A query in the space of the factors, and how many of the best rows it wants.
pub(super) struct Wish<'a> {
    pub(super) vector: &'a [f64],
    pub(super) count: usize,
}

/// The rows that each of `wishes` likes best, with what it makes of them.
///
/// Wishes for as many rows go through the index together; the others do not change what is found.
pub(super) fn best(
    index: &Index,
    wishes: &[Wish<'_>],
    search: &Search<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Vec<Vec<Scored>>> {
    let mut alike = BTreeMap::<usize, Vec<usize>>::new();
    for (i, wish) in wishes.iter().enumerate() {
        alike.entry(wish.count.min(index.len())).or_default().push(i);
    }
    let mut found = vec![Vec::new(); wishes.len()];
    for (k, members) in alike {
        if k == 0 {
            continue;
        }
        let scales: Vec<i32> = members.iter().map(|&i| exponent(wishes[i].vector)).collect();
        let mut queries = Vec::with_capacity(members.len() * index.dim());
        for (&i, &scale) in members.iter().zip(&scales) {
            // A power of two changes no bit of a product, and no length overflows.
            queries.extend(wishes[i].vector.iter().map(|x| (x * 2f64.powi(-scale)) as f32));
        }
        let (only, except) = (own(search.only, &members), own(search.except, &members));
        let search = Search { k, only: &only, except: &except, ..*search };
        let queries = MatrixRef::new(&queries, index.dim())?;
        let lists = index.nearest(queries, &search, threads, cancel)?;
        for ((&i, mut list), scale) in members.iter().zip(lists).zip(scales) {
            list.iter_mut().for_each(|item| item.score *= 2f32.powi(scale));
            found[i] = list;
        }
    }
    Ok(found)
}

/// The picks of `members`, of whom each has its own or all have the same.
fn own<T: Copy>(picks: &[T], members: &[usize]) -> Vec<T> {
    if picks.len() <= 1 { picks.to_vec() } else { members.iter().map(|&i| picks[i]).collect() }
}

/// The power of two that the largest number is from once to twice, within what `f32` can multiply.
fn exponent(vector: &[f64]) -> i32 {
    let largest = vector.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    if largest == 0.0 { 0 } else { (largest.log2().floor() as i32).clamp(-120, 120) }
}
