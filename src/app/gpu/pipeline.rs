//! A pipeline of one shader that covers its viewport and reads one uniform block and some textures.

use wgpu::util::DeviceExt;

/// One shader with its bindings: the uniform block at 0, textures from 1.
pub struct Pipeline {
    label: &'static str,
    inner: wgpu::RenderPipeline,
}

impl Pipeline {
    /// Compiles a shader whose stages are called `vertex` and `fragment` and whose colours are premultiplied by alpha.
    pub fn new(
        device: &wgpu::Device,
        target: wgpu::TextureFormat,
        label: &'static str,
        source: &str,
        textures: u32,
    ) -> Self {
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::FRAGMENT,
            ty,
            count: None,
        };
        let texture = wgpu::BindingType::Texture {
            sample_type: wgpu::TextureSampleType::Float { filterable: false },
            view_dimension: wgpu::TextureViewDimension::D2,
            multisampled: false,
        };
        let uniform = wgpu::BindingType::Buffer {
            ty: wgpu::BufferBindingType::Uniform,
            has_dynamic_offset: false,
            min_binding_size: None,
        };
        let mut entries = vec![entry(0, uniform)];
        entries.extend((1..=textures).map(|binding| entry(binding, texture)));
        let bindings = wgpu::BindGroupLayoutDescriptor { label: Some(label), entries: &entries };
        let bindings = device.create_bind_group_layout(&bindings);
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&bindings)],
            immediate_size: 0,
        });
        let inner = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: Some(label),
            layout: Some(&layout),
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: wgpu::PrimitiveState::default(),
            depth_stencil: None,
            multisample: wgpu::MultisampleState::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: Default::default(),
                targets: &[Some(wgpu::ColorTargetState {
                    format: target,
                    blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING),
                    write_mask: wgpu::ColorWrites::ALL,
                })],
            }),
            multiview_mask: None,
            cache: None,
        });
        Self { label, inner }
    }

    /// Binds the uniform block and the textures for one draw.
    pub fn bind(&self, device: &wgpu::Device, uniform: &[f32; 16], views: &[wgpu::TextureView]) -> wgpu::BindGroup {
        let bytes: Vec<u8> = uniform.iter().flat_map(|value| value.to_ne_bytes()).collect();
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some(self.label),
            contents: &bytes,
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }];
        for (binding, view) in (1..).zip(views) {
            entries.push(wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::TextureView(view) });
        }
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.label),
            layout: &self.inner.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Draws what was bound.
    pub fn paint(&self, pass: &mut wgpu::RenderPass<'_>, bound: &wgpu::BindGroup) {
        pass.set_pipeline(&self.inner);
        pass.set_bind_group(0, bound, &[]);
        pass.draw(0..3, 0..1);
    }
}
