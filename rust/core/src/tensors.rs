//! Named tensors of a safetensors file, every bound checked before anything is copied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};

use crate::{Error, Result};

/// The numbers of a tensor, row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// `F32`
    F32(Vec<f32>),
    /// `F64`
    F64(Vec<f64>),
    /// `I8`
    I8(Vec<i8>),
    /// `I16`
    I16(Vec<i16>),
    /// `I32`
    I32(Vec<i32>),
    /// `I64`
    I64(Vec<i64>),
    /// `U8`
    U8(Vec<u8>),
    /// `U16`
    U16(Vec<u16>),
    /// `U32`
    U32(Vec<u32>),
    /// `U64`
    U64(Vec<u64>),
}

/// A tensor: `shape` multiplies to the length of `numbers`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Rows, columns and so on; empty for a single number.
    pub shape: Vec<usize>,
    /// What it holds.
    pub numbers: Numbers,
}

/// What a safetensors file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors {
    /// The file, for errors.
    pub path: PathBuf,
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The file's own notes.
    pub metadata: BTreeMap<String, String>,
}

impl Tensors {
    /// Reads a safetensors file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&bytes, path)
    }

    /// Reads the bytes of a safetensors file; `path` is what an error names.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let refuse = |e: safetensors::SafeTensorError| {
            Error::format(path, format!("truncated, changed or no safetensors file: {e}"))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(refuse)?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes).map_err(refuse)?.iter() {
            let Some(numbers) = numbers(view.dtype(), view.data()) else {
                let problem = format!(
                    "tensor {name:?} holds {:?}; want whole numbers of 8 to 64 bits, F32 or F64",
                    view.dtype()
                );
                return Err(Error::format(path, problem));
            };
            tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), numbers });
        }
        Ok(Self { path: path.to_owned(), tensors, metadata })
    }

    /// Takes the tensor `name`, or says what is there instead.
    pub fn take(&mut self, name: &str) -> Result<Tensor> {
        self.tensors.remove(name).ok_or_else(|| {
            let names: Vec<_> = self.tensors.keys().map(String::as_str).collect();
            Error::format(&self.path, format!("no tensor {name:?}; it holds {}", names.join(", ")))
        })
    }
}

/// The numbers in little-endian `bytes`, whose length the reader has checked against the shape.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Numbers> {
    macro_rules! from {
        ($type:ident) => {
            bytes.as_chunks().0.iter().map(|&number| $type::from_le_bytes(number)).collect()
        };
    }
    Some(match dtype {
        Dtype::F32 => Numbers::F32(from!(f32)),
        Dtype::F64 => Numbers::F64(from!(f64)),
        Dtype::I8 => Numbers::I8(from!(i8)),
        Dtype::I16 => Numbers::I16(from!(i16)),
        Dtype::I32 => Numbers::I32(from!(i32)),
        Dtype::I64 => Numbers::I64(from!(i64)),
        Dtype::U8 => Numbers::U8(from!(u8)),
        Dtype::U16 => Numbers::U16(from!(u16)),
        Dtype::U32 => Numbers::U32(from!(u32)),
        Dtype::U64 => Numbers::U64(from!(u64)),
        _ => return None,
    })
}
