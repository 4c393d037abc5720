//! Convolutions by cuDNN: forward, and the gradients of input and weight. The algorithm of a shape is chosen once, among those that
//! give the same bits each time; products are of f32, not of NVIDIA's shortened TF32; the workspace is kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::cuda_backend::cudarc::cudnn::sys::{
    cudnnConvolutionBwdDataAlgo_t as InputAlgorithm, cudnnConvolutionBwdFilterAlgo_t as WeightAlgorithm,
    cudnnConvolutionFwdAlgo_t as ForwardAlgorithm, cudnnConvolutionMode_t, cudnnMathType_t, cudnnTensorFormat_t,
};
use candle_core::cuda_backend::cudarc::cudnn::{
    ConvBackwardData, ConvBackwardFilter, ConvDescriptor, ConvForward, Cudnn, CudnnError, FilterDescriptor,
    TensorDescriptor,
};
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};
use candle_core::cuda_backend::{CudaDevice, DeviceId};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor};

use super::super::composed::own::Pass;
use super::super::shape::ConvShape;
use crate::Result;

thread_local! {
    // A handle belongs to a thread.
    static HANDLES: RefCell<HashMap<DeviceId, Arc<Cudnn>>> = RefCell::default();
}

/// What of convolutions is kept.
#[derive(Debug, Default)]
pub struct Convolutions {
    forward: Mutex<HashMap<ConvShape, ForwardAlgorithm>>,
    /// Grown to the largest that was asked for.
    workspace: Mutex<Option<CudaSlice<u8>>>,
}

impl Convolutions {
    /// One pass over planar images: see [`Pass`].
    pub fn convolve(&self, pass: Pass, shape: ConvShape, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Ok(a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &Op { kept: self, pass, shape })?)
    }
}

struct Op<'k> {
    kept: &'k Convolutions,
    pass: Pass,
    shape: ConvShape,
}

/// What cuDNN is told of a convolution.
struct Described {
    conv: ConvDescriptor<f32>,
    x: TensorDescriptor<f32>,
    w: FilterDescriptor<f32>,
    y: TensorDescriptor<f32>,
}

impl CustomOp2 for Op<'_> {
    fn name(&self) -> &'static str {
        "cudnn convolution"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        candle_core::bail!("cuDNN has no convolution for the CPU")
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        of_a: &Layout,
        b: &CudaStorage,
        of_b: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let device = a.device.clone();
        let cudnn = handle(&device)?;
        let described = self.described(&cudnn)?;
        let ([batch, c_in, height, width], weight, [_, c_out, rows, columns]) = self.dims();
        let shape = match self.pass {
            Pass::Forward => Shape::from(vec![batch, c_out, rows, columns]),
            Pass::Input => Shape::from(vec![batch, c_in, height, width]),
            Pass::Weight => Shape::from(weight.to_vec()),
        };
        // SAFETY: every value is written below.
        let mut out = unsafe { device.alloc::<f32>(shape.elem_count()) }?;
        self.launch(&device, &described, (&view(a, of_a)?, &view(b, of_b)?), &mut out)?;
        Ok((CudaStorage::wrap_cuda_slice(out, device), shape))
    }
}

impl Op<'_> {
    /// Of input, weight and output.
    fn dims(&self) -> ([usize; 4], [usize; 4], [usize; 4]) {
        let ConvShape { batch, height, width, c_in, c_out, kernel: [rows, columns], groups, .. } = self.shape;
        let (out_rows, out_columns) = self.shape.out_size();
        ([batch, c_in, height, width], [c_out, c_in / groups, rows, columns], [batch, c_out, out_rows, out_columns])
    }

    fn described(&self, cudnn: &Arc<Cudnn>) -> candle_core::Result<Described> {
        let ConvShape { stride, pad, dilation, groups, .. } = self.shape;
        let both = |n: usize| [n as i32; 2];
        let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
        let mut conv = cudnn.create_conv2d::<f32>(pad.map(|n| n as i32), both(stride), both(dilation), mode)?;
        conv.set_math_type(cudnnMathType_t::CUDNN_FMA_MATH)?;
        conv.set_group_count(groups as i32)?;
        let planar = cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
        let (x, w, y) = self.dims();
        let [x, w, y] = [x, w, y].map(|dims| dims.map(|n| n as i32));
        Ok(Described {
            conv,
            x: cudnn.create_4d_tensor::<f32>(planar, x)?,
            w: cudnn.create_4d_filter::<f32>(planar, w)?,
            y: cudnn.create_4d_tensor::<f32>(planar, y)?,
        })
    }

    fn launch(
        &self,
        device: &CudaDevice,
        Described { conv, x, w, y }: &Described,
        (a, b): (&CudaView<f32>, &CudaView<f32>),
        out: &mut CudaSlice<f32>,
    ) -> candle_core::Result<()> {
        // Nothing is added to what was there.
        let scale = (1.0, 0.0);
        match self.pass {
            Pass::Forward => {
                let pass = ConvForward { conv, x, w, y };
                let algorithm = self.forward_algorithm(&pass)?;
                let mut room = self.room(device, pass.get_workspace_size(algorithm)?)?;
                // SAFETY (all): the descriptors are of these tensors.
                unsafe { pass.launch(algorithm, room.as_mut(), scale, a, b, out) }?;
            }
            Pass::Input => {
                let pass = ConvBackwardData { conv, dx: x, w, dy: y };
                let algorithm = InputAlgorithm::CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;
                let mut room = self.room(device, pass.get_workspace_size(algorithm)?)?;
                unsafe { pass.launch(algorithm, room.as_mut(), scale, out, b, a) }?;
            }
            Pass::Weight => {
                let pass = ConvBackwardFilter { conv, x, dw: w, dy: y };
                let algorithm = WeightAlgorithm::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
                let mut room = self.room(device, pass.get_workspace_size(algorithm)?)?;
                unsafe { pass.launch(algorithm, room.as_mut(), scale, a, out, b) }?;
            }
        }
        Ok(())
    }

    /// Chosen once for a shape.
    fn forward_algorithm(
        &self,
        pass: &ConvForward<f32, f32, f32>,
    ) -> std::result::Result<ForwardAlgorithm, CudnnError> {
        let mut chosen = self.kept.forward.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&known) = chosen.get(&self.shape) {
            return Ok(known);
        }
        let algorithm = pass.pick_algorithm()?;
        chosen.insert(self.shape, algorithm);
        Ok(algorithm)
    }

    /// The workspace, of so many bytes at least. It is this thread's until the work is queued on the device's one stream.
    fn room(&self, device: &CudaDevice, bytes: usize) -> candle_core::Result<MutexGuard<'_, Option<CudaSlice<u8>>>> {
        let mut room = self.kept.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        if room.as_ref().is_none_or(|room| room.len() < bytes) {
            *room = Some(device.alloc_zeros::<u8>(bytes.max(1))?);
        }
        Ok(room)
    }
}

fn handle(device: &CudaDevice) -> std::result::Result<Arc<Cudnn>, CudnnError> {
    HANDLES.with_borrow_mut(|handles| {
        if let Some(known) = handles.get(&device.id()) {
            return Ok(known.clone());
        }
        let cudnn = Cudnn::new(device.cuda_stream())?;
        handles.insert(device.id(), cudnn.clone());
        Ok(cudnn)
    })
}

fn view<'s>(storage: &'s CudaStorage, layout: &Layout) -> candle_core::Result<CudaView<'s, f32>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<f32>()?.slice(start..end)),
        None => candle_core::bail!("contiguous tensors are convolved"),
    }
}
