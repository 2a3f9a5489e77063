//! The first columns alone, for vectors trained so that they make a vector of their own (Kusupati et
//! al., Matryoshka Representation Learning, 2022): every allowed row scored, exactly.

use super::filter::Filter;
use super::part::Part;
use super::score::{BLOCK, Metric};
use super::{Cost, Found};
use crate::kernels::Kernels;
use crate::topk::TopK;
use crate::{Cancel, Matrix, MatrixRef, Result, Threads};

impl Part {
    /// The `k` best rows for each of `queries`, which are prepared and as long as the prefix.
    pub(super) fn search_prefix(
        &self,
        queries: MatrixRef<'_>,
        k: usize,
        filter: Filter<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        let (metric, kernels) = (self.metric(), Kernels::best());
        let count = queries.rows();
        let parts = threads.blocks(self.rows(), BLOCK, cancel, |rows| {
            let mut prefixes = Matrix::zeros(rows.len(), queries.dim());
            for (i, row) in rows.clone().enumerate() {
                self.read(row, prefixes.row_mut(i))?;
                if metric == Metric::Cosine {
                    Metric::shorten(prefixes.row_mut(i));
                }
            }
            let mut scores = vec![0.0; rows.len()];
            let one = |(i, query): (usize, &[f32])| {
                metric.scores(kernels, query, prefixes.view(), &mut scores);
                let mut best = TopK::new(k);
                for (row, &score) in rows.clone().zip(&scores) {
                    if filter.of(i).is_none_or(|allowed| allowed.contains(row)) {
                        best.push(score, row as u64);
                    }
                }
                best.into_sorted()
            };
            Ok(queries.iter().enumerate().map(one).collect::<Vec<_>>())
        })?;
        let merged = (0..count).map(|i| {
            let mut best = TopK::new(k);
            parts.iter().flat_map(|part| &part[i]).for_each(|item| best.push(item.score, item.id));
            let rows = filter.of(i).map_or(self.rows(), |allowed| allowed.count());
            Found { best: best.into_sorted(), cost: Cost { codes: 0, rows: rows as u64 } }
        });
        Ok(merged.collect())
    }
}
