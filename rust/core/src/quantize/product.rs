//! The product quantizer (Jégou, Douze, Schmid 2011): one small codebook a part of the vector.

use std::ops::Range;

use super::{Codes, Table};
use crate::cluster::{self, Finder, KMeans, Nearest};
use crate::kernels::{Columns, Kernels};
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// Bits of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// 16 centroids a part; for the scan of packed codes.
    Four,
    /// 256 centroids a part.
    Eight,
}

impl Bits {
    /// Centroids that a code chooses from.
    pub const fn centroids(self) -> usize {
        match self {
            Self::Four => 16,
            Self::Eight => 256,
        }
    }
}

/// Codebooks for the parts of a vector: part p holds columns p·dim/parts to (p+1)·dim/parts.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductQuantizer {
    dim: usize,
    parts: usize,
    bits: Bits,
    /// Part after part its centroids, row after row: `centroids × dim` numbers in all.
    codebooks: Vec<f32>,
    /// The codebooks whose vectors are short once more, as the kernels read them.
    short: Vec<Option<Columns>>,
}

impl ProductQuantizer {
    /// Codebooks trained by k-means on each part of `rows`, from `seed`.
    ///
    /// Refuses 0 parts and more parts than columns, fewer rows than centroids, and what
    /// [`KMeans::fit`] refuses about rows. The same bytes for any number of threads.
    pub fn train(
        rows: MatrixRef<'_>,
        parts: usize,
        bits: Bits,
        seed: u64,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Self> {
        if rows.rows() < bits.centroids() {
            let want = format!("at least {}, one a centroid", bits.centroids());
            return Err(Error::range("training rows", want, rows.rows()));
        }
        let shape = Self::shaped(rows.dim(), parts, bits)?;
        cluster::check("rows", rows, threads, cancel)?;
        let means = KMeans { seed, ..KMeans::new(bits.centroids()) };
        let sample = means.sample(rows, threads, cancel)?;
        let rows = sample.as_ref().map_or(rows, Matrix::view);
        let train = |part: Range<usize>| {
            let own = shape.cut(rows, part.start);
            let means = KMeans { seed: seed ^ part.start as u64, ..means.clone() };
            Ok(means.fit(own.view(), Threads::ONE, cancel)?.centroids.into_data())
        };
        Self::new(shape.dim, parts, bits, threads.blocks(parts, 1, cancel, train)?.concat())
    }

    /// A quantizer with these codebooks, part after part, centroid after centroid: what
    /// [`ProductQuantizer::codebooks`] gave. Refuses wrong shapes, NaN and infinities.
    pub fn new(dim: usize, parts: usize, bits: Bits, codebooks: Vec<f32>) -> Result<Self> {
        let shape = Self::shaped(dim, parts, bits)?;
        let want = dim.saturating_mul(bits.centroids());
        if codebooks.len() != want {
            return Err(Error::Length { what: "codebooks", want, got: codebooks.len() });
        }
        let mut pq = Self { codebooks, ..shape };
        for part in 0..parts {
            cluster::check("codebooks", pq.codebook(part), Threads::ONE, &Cancel::new())?;
        }
        pq.short = (0..parts).map(|part| Columns::new(pq.codebook(part))).collect();
        Ok(pq)
    }

    fn shaped(dim: usize, parts: usize, bits: Bits) -> Result<Self> {
        if parts == 0 || parts > dim {
            return Err(Error::range("parts", format!("1 to {dim} (columns)"), parts));
        }
        Ok(Self { dim, parts, bits, codebooks: vec![], short: vec![] })
    }

    /// Columns of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Parts that a vector is cut into.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Bits of a part's code.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// All codebooks, part after part, centroid after centroid.
    pub fn codebooks(&self) -> &[f32] {
        &self.codebooks
    }

    /// The columns that belong to a part.
    pub fn columns(&self, part: usize) -> Range<usize> {
        let start = |part| (part as u128 * self.dim as u128 / self.parts as u128) as usize;
        start(part)..start(part + 1)
    }

    /// The columns of one part, on their own.
    fn cut(&self, rows: MatrixRef<'_>, part: usize) -> Matrix {
        let columns = self.columns(part);
        let mut own = Matrix::zeros(rows.rows(), columns.len());
        for (own, row) in own.data_mut().chunks_exact_mut(columns.len()).zip(rows.iter()) {
            own.copy_from_slice(&row[columns.clone()]);
        }
        own
    }

    fn place(&self, part: usize) -> Range<usize> {
        let columns = self.columns(part);
        columns.start * self.bits.centroids()..columns.end * self.bits.centroids()
    }

    /// The centroids of a part.
    pub fn codebook(&self, part: usize) -> MatrixRef<'_> {
        MatrixRef::new(&self.codebooks[self.place(part)], self.columns(part).len())
            .expect("a codebook has whole rows of its part's columns")
    }

    /// For each part of each row the nearest centroid, the lower number on ties.
    ///
    /// Refuses rows of another dim and what [`KMeans::fit`] refuses about rows.
    pub fn encode(&self, rows: MatrixRef<'_>, threads: Threads, cancel: &Cancel) -> Result<Codes> {
        rows.expect_dim("rows", self.dim)?;
        cluster::check("rows", rows, threads, cancel)?;
        let finders: Vec<_> = (0..self.parts).map(|p| Finder::new(self.codebook(p))).collect();
        let mut codes = vec![0u8; rows.rows() * self.parts];
        threads.chunks_mut(&mut codes, self.parts, 256, cancel, |first, codes| {
            let rows = rows.slice(first..first + codes.len() / self.parts);
            let mut found = vec![Nearest::default(); rows.rows()];
            for (part, finder) in finders.iter().enumerate() {
                finder.find(self.cut(rows, part).view(), &mut found, cancel)?;
                for (code, found) in codes.iter_mut().skip(part).step_by(self.parts).zip(&found) {
                    *code = found.centroid as u8;
                }
            }
            Ok(())
        })?;
        Codes::new(codes, self.parts, self.bits)
    }

    /// The vectors that the codes stand for. Panics if they have other parts or bits.
    pub fn decode(&self, codes: &Codes<impl AsRef<[u8]>>) -> Matrix {
        assert_eq!(
            (codes.parts(), codes.bits()),
            (self.parts, self.bits),
            "codes of this quantizer"
        );
        let mut rows = Matrix::zeros(codes.rows(), self.dim);
        for (i, code) in codes.iter().enumerate() {
            for (part, code) in code.iter().enumerate() {
                let centroid = self.codebook(part).row(usize::from(*code));
                rows.row_mut(i)[self.columns(part)].copy_from_slice(centroid);
            }
        }
        rows
    }

    /// q·c for every centroid: a code's score is the dot product of `query` and its vector.
    pub fn dot_table(&self, query: &[f32]) -> Table {
        Table::new(self.table(query, Kernels::short_dots, Kernels::dots), self.bits)
    }

    /// −|q−c|² for every centroid: a code's score is minus the squared distance to its vector.
    pub fn l2_table(&self, query: &[f32]) -> Table {
        let mut table = self.table(query, Kernels::short_l2s, Kernels::l2s);
        table.iter_mut().for_each(|distance| *distance = -*distance);
        Table::new(table, self.bits)
    }

    /// What `few` or `many` columns' kernel gives for each part; the bits are the same.
    fn table(
        &self,
        query: &[f32],
        few: impl Fn(Kernels, &[f32], &Columns, &mut Vec<f32>),
        many: impl Fn(Kernels, &[f32], MatrixRef<'_>, &mut [f32]),
    ) -> Vec<f32> {
        assert_eq!(query.len(), self.dim, "a query has one number a column");
        let (kernels, k) = (Kernels::best(), self.bits.centroids());
        let (mut entries, mut part_entries) = (Vec::with_capacity(self.parts * k), vec![0.0; k]);
        for (part, short) in self.short.iter().enumerate() {
            let query = &query[self.columns(part)];
            match short {
                Some(short) => few(kernels, query, short, &mut part_entries),
                None => many(kernels, query, self.codebook(part), &mut part_entries),
            }
            entries.extend_from_slice(&part_entries);
        }
        entries
    }
}
