//! Rows of `f32`, one after the other. The shape is checked where the value is built, never again.

use crate::{Error, Result};

/// Borrowed rows: `rows × dim` numbers in row order. `dim` is at least 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatrixRef<'a> {
    data: &'a [f32],
    dim: usize,
}

impl<'a> MatrixRef<'a> {
    /// Views `data` as rows of `dim` numbers; refuses a `dim` of 0 and a ragged last row.
    pub fn new(data: &'a [f32], dim: usize) -> Result<Self> {
        if dim == 0 {
            return Err(Error::range("dim", "at least 1", dim));
        }
        if !data.len().is_multiple_of(dim) {
            let want = data.len().next_multiple_of(dim);
            return Err(Error::Length { what: "matrix", want, got: data.len() });
        }
        Ok(Self { data, dim })
    }

    /// Numbers in a row.
    pub fn dim(self) -> usize {
        self.dim
    }

    /// How many rows.
    pub fn rows(self) -> usize {
        self.data.len() / self.dim
    }

    /// Row `i`; panics if there is none.
    pub fn row(self, i: usize) -> &'a [f32] {
        &self.data[i * self.dim..][..self.dim]
    }

    /// Every row in order.
    pub fn iter(self) -> std::slice::ChunksExact<'a, f32> {
        self.data.chunks_exact(self.dim)
    }

    /// Rows `range.start..range.end`; panics if they are not all there.
    pub fn slice(self, range: std::ops::Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.dim..range.end * self.dim], dim: self.dim }
    }

    /// All numbers, row after row.
    pub fn data(self) -> &'a [f32] {
        self.data
    }

    /// An owned copy of some columns of the rows named by `picks`; panics if they are not all there.
    pub fn gather_columns(
        self,
        picks: impl ExactSizeIterator<Item = usize>,
        columns: std::ops::Range<usize>,
    ) -> Matrix {
        let mut data = Vec::with_capacity(picks.len() * columns.len());
        picks.for_each(|row| data.extend_from_slice(&self.row(row)[columns.clone()]));
        Matrix { data, dim: columns.len() }
    }

    /// Refuses rows of another length than `want`.
    pub fn expect_dim(self, what: &'static str, want: usize) -> Result<Self> {
        if self.dim == want { Ok(self) } else { Err(Error::Columns { what, want, got: self.dim }) }
    }

    /// Refuses NaN and infinities, naming the first row that holds one.
    pub fn expect_finite(self, what: &'static str) -> Result<Self> {
        // x·0 is 0 for finite x and NaN otherwise, so a row's sum tells without a branch a number.
        match self.iter().position(|row| row.iter().map(|x| x * 0.0).sum::<f32>() != 0.0) {
            Some(row) => Err(Error::NotFinite { what, row }),
            None => Ok(self),
        }
    }

    /// An owned copy of the rows named by `picks`, in that order; panics on a row that is not there.
    pub fn gather(self, picks: &[usize]) -> Matrix {
        let mut data = Vec::with_capacity(picks.len() * self.dim);
        for &i in picks {
            data.extend_from_slice(self.row(i));
        }
        Matrix { data, dim: self.dim }
    }
}

/// Owned rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    data: Vec<f32>,
    dim: usize,
}

impl Matrix {
    /// Takes `data` as rows of `dim` numbers; the same refusals as [`MatrixRef::new`].
    pub fn new(data: Vec<f32>, dim: usize) -> Result<Self> {
        MatrixRef::new(&data, dim)?;
        Ok(Self { data, dim })
    }

    /// `rows × dim` zeros; panics if `dim` is 0.
    pub fn zeros(rows: usize, dim: usize) -> Self {
        assert!(dim > 0, "a matrix needs at least one column");
        Self { data: vec![0.0; rows * dim], dim }
    }

    /// The rows, borrowed.
    pub fn view(&self) -> MatrixRef<'_> {
        MatrixRef { data: &self.data, dim: self.dim }
    }

    /// Row `i`, to write; panics if there is none.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.dim..][..self.dim]
    }

    /// All numbers, to write.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The numbers, given away.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}
