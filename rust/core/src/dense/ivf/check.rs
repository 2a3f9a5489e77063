//! Whether the lists hold the rows.

use super::Ivf;
use crate::dense::score::Metric;
use crate::store::Column;
use crate::{Cancel, Result, Threads};

impl Ivf {
    /// Refuses lists that do not hold every row, numbers that are not finite, rows that are not what
    /// `metric` prepares.
    pub(in crate::dense) fn check(
        &self,
        metric: Metric,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<()> {
        self.positions_of_rows()?;
        finite(&self.codebooks, "codebooks")?;
        self.axes.check()?;
        self.coarse.check()?;
        self.vectors.check(metric, threads, cancel, |_, _, _| Ok(()))
    }
}

pub(super) fn finite(column: &Column<f32>, name: &str) -> Result<()> {
    match column.all()?.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(column.refuse(format!("number {at} of `{name}` is not finite"))),
        None => Ok(()),
    }
}
