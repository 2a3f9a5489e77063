//! A vector for each token, a weight for each token: their weighted sum, normalised.
//!
//! vector = normalise( Σ_t weight[t]·scale[t]·table[t] ) over the tokens t of a text, one after the
//! other: canonical, so the same bits on every tier, for any number of threads, alone or in a batch.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::kernels::Kernels;
use crate::tensors::{Numbers, Tensor, Tensors};
use crate::text::{Asked, Ragged, Tokenizer};
use crate::{Cancel, Error, Matrix, Result, Threads};

/// Texts a block: a fraction of a millisecond with ids given, about one with text.
const BLOCK: usize = 16;

/// The largest factor of a token: a text of a million such tokens is still far from infinity.
const LARGEST: f32 = 1e9;

/// The tables of `model.safetensors`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticEncoder {
    table: Vec<i8>,
    factors: Vec<f32>,
    dim: usize,
}

/// What was met on the way from texts to vectors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    /// How many ids there were.
    pub tokens: usize,
    /// The rows that were cut, in order.
    pub truncated: Vec<i64>,
}

impl StaticEncoder {
    /// Reads `table` (int8, vocabulary × dim), `scale` and `weight` (float32, vocabulary).
    pub fn load(path: &Path) -> Result<Self> {
        Self::new(Tensors::load(path)?)
    }

    /// Takes the three tensors from what a file holds; refuses shapes that disagree and factors
    /// that are not finite.
    pub fn new(mut file: Tensors) -> Result<Self> {
        let (table, scale, weight) =
            (file.take("table")?, file.take("scale")?, file.take("weight")?);
        let refuse = |problem: String| Err(Error::format(&file.path, problem));
        let (Numbers::I8(table), [vocab, dim]) = (table.numbers, &table.shape[..]) else {
            return refuse(format!("table must be int8 (vocab, dim); got {:?}", table.shape));
        };
        let (vocab, dim) = (*vocab, *dim);
        if vocab == 0 || dim == 0 {
            return refuse(format!("table must hold something; got ({vocab}, {dim})"));
        }
        let column = |tensor: Tensor| match tensor.numbers {
            Numbers::F32(numbers) if tensor.shape == [vocab] => Some(numbers),
            _ => None,
        };
        let (Some(scale), Some(weight)) = (column(scale), column(weight)) else {
            return refuse(format!("scale and weight must be float32 ({vocab},), as the table"));
        };
        let factors: Vec<f32> = weight.iter().zip(&scale).map(|(w, s)| w * s).collect();
        if let Some(token) = factors.iter().position(|f| !f.is_finite() || f.abs() > LARGEST) {
            let got = factors[token];
            return refuse(format!(
                "weight·scale of token {token} must be finite, at most {LARGEST:e}; got {got}"
            ));
        }
        Ok(Self { table, factors, dim })
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many tokens have a vector.
    pub fn vocab_size(&self) -> usize {
        self.factors.len()
    }

    /// One unit vector a row of ids; zeros for a row whose sum is zero, as one without ids.
    pub fn encode(&self, ids: Ragged<'_>, threads: Threads, cancel: &Cancel) -> Result<Matrix> {
        let mut out = vec![0.0; ids.rows() * self.dim];
        threads.chunks_mut(&mut out, self.dim, BLOCK, cancel, |first, chunk| {
            let mut picks = Vec::new();
            for (row, out) in chunk.chunks_exact_mut(self.dim).enumerate() {
                self.pick(ids.row(first + row), &mut picks)?;
                self.vector(&picks, out);
            }
            Ok(())
        })?;
        Matrix::new(out, self.dim)
    }

    /// Writes one unit vector a text to `out`; every block goes from text to vectors on one thread.
    /// The same bits as [`Tokenizer::encode_batch`] and then [`Self::encode`].
    ///
    /// Refuses an `out` that is not `texts` rows of `dim` numbers.
    pub fn encode_texts<T: AsRef<str> + Sync>(
        &self,
        (tokenizer, asked): (&Tokenizer, Asked),
        texts: &[T],
        out: &mut [f32],
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Encoded> {
        if texts.len().checked_mul(self.dim) != Some(out.len()) {
            let want = format!("{} rows of {} numbers", texts.len(), self.dim);
            return Err(Error::range("out", want, format!("{} numbers", out.len())));
        }
        let cut = tokenizer.cut(asked)?;
        let encoded = Mutex::new(Encoded::default());
        threads.chunks_mut(out, self.dim, BLOCK, cancel, |first, chunk| {
            let (mut ids, mut picks, mut worker) = (Vec::new(), Vec::new(), tokenizer.worker());
            let (mut tokens, mut truncated) = (0, Vec::new());
            for (row, out) in (first..).zip(chunk.chunks_exact_mut(self.dim)) {
                cancel.check()?;
                ids.clear();
                if tokenizer.encode(texts[row].as_ref(), cut, &mut worker, &mut ids, cancel)? {
                    truncated.push(row as i64);
                }
                tokens += ids.len();
                self.pick(&ids, &mut picks)?;
                self.vector(&picks, out);
            }
            let mut encoded = encoded.lock().unwrap_or_else(PoisonError::into_inner);
            encoded.tokens += tokens;
            encoded.truncated.extend(truncated);
            Ok(())
        })?;
        let mut encoded = encoded.into_inner().unwrap_or_else(PoisonError::into_inner);
        encoded.truncated.sort_unstable();
        Ok(encoded)
    }

    /// Puts the row and the factor of each id in place of `picks`.
    fn pick(&self, ids: &[i32], picks: &mut Vec<(u32, f32)>) -> Result<()> {
        picks.clear();
        for &id in ids {
            let row = u32::try_from(id).unwrap_or(u32::MAX);
            let Some(&factor) = self.factors.get(row as usize) else {
                let want = format!("0 to {}, the rows of the table", self.factors.len() - 1);
                return Err(Error::range("token id", want, id));
            };
            picks.push((row, factor));
        }
        Ok(())
    }

    /// Writes the vector of some rows to `out`.
    fn vector(&self, picks: &[(u32, f32)], out: &mut [f32]) {
        let kernels = Kernels::best();
        kernels.sum_rows_i8(&self.table, picks, out);
        // Below the smallest normal number there is no direction left to speak of.
        let square = kernels.dot(out, out);
        let length = if square.is_normal() { square.sqrt() } else { f32::INFINITY };
        out.iter_mut().for_each(|x| *x /= length);
    }
}
