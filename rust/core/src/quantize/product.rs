//! The product quantizer (Jégou, Douze, Schmid 2011): one small codebook a part of the vector.

use std::ops::Range;

use super::{ByteTables, Codes, Table};
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
    /// The codebooks once more, as the kernels read them, if the longest part is short.
    books: Option<Books>,
}

/// Codebooks in [`Columns`], all of one width.
#[derive(Debug, Clone, PartialEq)]
struct Books {
    width: usize,
    columns: Vec<f32>,
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
        // So few centroids of so few numbers are taught in little time: until they hardly move.
        let rows_per_cluster = if bits == Bits::Four { 512 } else { 256 };
        let means = KMeans::new(bits.centroids());
        let means = KMeans { seed, rows_per_cluster, iterations: 25, tolerance: 1e-4, ..means };
        let picks = means.picks(rows)?;
        let train = |part: Range<usize>| {
            let columns = shape.columns(part.start);
            let own = match &picks {
                Some(picks) => rows.gather_columns(picks.iter().copied(), columns),
                None => rows.gather_columns(0..rows.rows(), columns),
            };
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
        pq.books = pq.in_columns();
        Ok(pq)
    }

    fn shaped(dim: usize, parts: usize, bits: Bits) -> Result<Self> {
        if parts == 0 || parts > dim {
            return Err(Error::range("parts", format!("1 to {dim} (columns)"), parts));
        }
        Ok(Self { dim, parts, bits, codebooks: vec![], books: None })
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
                finder.find_part(rows, self.columns(part), &mut found, cancel)?;
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

    fn in_columns(&self) -> Option<Books> {
        let longest = (0..self.parts).map(|part| self.columns(part).len()).max()?;
        let width = longest.next_power_of_two();
        let mut columns = Vec::new();
        for part in 0..self.parts {
            columns
                .extend_from_slice(Columns::of_width(self.codebook(part).iter(), width)?.blocks());
        }
        Some(Books { width, columns })
    }

    /// q·c for every centroid: a code's score is the dot product of `query` and its vector.
    pub fn dot_table(&self, query: &[f32]) -> Table {
        let mut entries = Vec::new();
        self.dot_entries(query, &mut entries);
        Table::new(entries, self.bits)
    }

    /// −|q−c|² for every centroid: a code's score is minus the squared distance to its vector.
    pub fn l2_table(&self, query: &[f32]) -> Table {
        let mut entries = Vec::new();
        self.l2_entries(query, &mut entries);
        Table::new(entries, self.bits)
    }

    /// Makes `tables` the bytes of [`ProductQuantizer::dot_table`]; panics unless of 4 bits.
    /// `entries` is scratch.
    pub fn dot_bytes(&self, query: &[f32], entries: &mut Vec<f32>, tables: &mut ByteTables) {
        assert_eq!(self.bits, Bits::Four, "only tables of 4-bit codes are scanned as bytes");
        self.dot_entries(query, entries);
        tables.fill(entries);
    }

    /// Makes `tables` the bytes of [`ProductQuantizer::l2_table`]; panics unless of 4 bits.
    /// `entries` is scratch.
    pub fn l2_bytes(&self, query: &[f32], entries: &mut Vec<f32>, tables: &mut ByteTables) {
        assert_eq!(self.bits, Bits::Four, "only tables of 4-bit codes are scanned as bytes");
        self.l2_entries(query, entries);
        tables.fill(entries);
    }

    fn dot_entries(&self, query: &[f32], entries: &mut Vec<f32>) {
        self.entries(query, entries, Kernels::part_dots, Kernels::dots);
    }

    fn l2_entries(&self, query: &[f32], entries: &mut Vec<f32>) {
        self.entries(query, entries, Kernels::part_l2s, Kernels::l2s);
        entries.iter_mut().for_each(|distance| *distance = -*distance);
    }

    /// What `few` or `many` columns' kernel gives for each part; the bits are the same.
    fn entries(
        &self,
        query: &[f32],
        entries: &mut Vec<f32>,
        few: impl Fn(Kernels, &[f32], usize, &[f32], &mut [f32]),
        many: impl Fn(Kernels, &[f32], MatrixRef<'_>, &mut [f32]),
    ) {
        assert_eq!(query.len(), self.dim, "a query has one number a column");
        let (kernels, k) = (Kernels::best(), self.bits.centroids());
        entries.resize(self.parts * k, 0.0);
        match &self.books {
            Some(Books { width, columns }) if width * self.parts == self.dim => {
                few(kernels, query, *width, columns, entries);
            }
            Some(Books { width, columns }) => {
                let mut padded = vec![0.0; width * self.parts];
                for (part, padded) in padded.chunks_exact_mut(*width).enumerate() {
                    let own = &query[self.columns(part)];
                    padded[..own.len()].copy_from_slice(own);
                }
                few(kernels, &padded, *width, columns, entries);
            }
            None => {
                for (part, entries) in entries.chunks_exact_mut(k).enumerate() {
                    many(kernels, &query[self.columns(part)], self.codebook(part), entries);
                }
            }
        }
    }
}
