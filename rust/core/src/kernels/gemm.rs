//! Many dot products at once, fast and in no fixed order: proposals.

use crate::MatrixRef;

/// `out[i·columns.rows() + j]` ≈ row i of `rows` · row j of `columns`.
///
/// Within γₙ·Σ|aᵢbᵢ| of the true product, γₙ = n·ε/(1−n·ε), ε = 2⁻²⁴, for n = dim: that holds for
/// any order of additions, fused or not. The bits depend on the CPU, so these numbers may propose
/// and never decide. Runs on the calling thread. Panics if the shapes do not fit.
pub fn products(rows: MatrixRef<'_>, columns: MatrixRef<'_>, out: &mut [f32]) {
    let (m, n, dim) = (rows.rows(), columns.rows(), rows.dim());
    assert_eq!(columns.dim(), dim, "products needs rows and columns of one length");
    assert_eq!(out.len(), m * n, "products writes rows × columns numbers");
    if out.is_empty() {
        return;
    }
    let stride = |n: usize| isize::try_from(n).expect("a slice is shorter than isize::MAX");
    // SAFETY: `MatrixRef` holds rows × dim numbers in row order, `out` m × n by the assertion; the
    // strides below stay inside these; `out` is borrowed mutably, so it overlaps neither input.
    unsafe {
        gemm::gemm(
            m,
            n,
            dim,
            out.as_mut_ptr(),
            1,
            stride(n),
            false,
            rows.data().as_ptr(),
            1,
            stride(dim),
            columns.data().as_ptr(),
            stride(dim),
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
