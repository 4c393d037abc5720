//! Every shader is validated in any case; where there is a graphics adapter its colours are compared with what the CPU
//! says they should be. Without one the comparison is skipped, and says so.

mod adapter;

use std::sync::Arc;

use dp2o_studio::app::gpu::Gpu;
use dp2o_studio::app::gpu::callback::Drawing;
use dp2o_studio::app::gpu::colormap::Colormap;
use dp2o_studio::app::gpu::matrix::Cells;
use dp2o_studio::app::gpu::view::{Draw, Field, Heat, Pixels, Show};
use dp2o_studio::random::Random;
use egui::Color32;

/// Side of the pictures and of the target, in pixels. A row of the target fills wgpu's alignment of 256 bytes.
const SIDE: usize = 64;
/// How far a channel may be off, of 255: rounding of sums in another order, and one entry of the colour table where a
/// value lies on the border of two.
const TOLERANCE: u8 = 3;

#[test]
fn every_shader_is_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders")).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let module = naga::front::wgsl::parse_str(&source);
        let module = module.unwrap_or_else(|e| panic!("{}: {}", path.display(), e.emit_to_string(&source)));
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|e| panic!("{}: {e:?}", path.display()));
        count += 1;
    }
    assert!(count > 0, "no shader was found");
}

fn device() -> Option<(wgpu::Device, wgpu::Queue)> {
    adapter::now(adapter::adapter()?.request_device(&wgpu::DeviceDescriptor::default())).ok()
}

/// The target's pixels, RGBA.
fn rendered<D: Drawing>(device: &wgpu::Device, queue: &wgpu::Queue, drawing: &D) -> Vec<u8> {
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let mut gpu = Gpu::new(device, format);
    let bound = drawing.prepare(&mut gpu, device, queue);
    let size = wgpu::Extent3d { width: SIDE as u32, height: SIDE as u32, depth_or_array_layers: 1 };
    let target = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let view = target.create_view(&Default::default());
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: (SIDE * SIDE * 4) as u64,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let attachment = wgpu::RenderPassColorAttachment {
            view: &view,
            depth_slice: None,
            resolve_target: None,
            ops: wgpu::Operations::default(),
        };
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(attachment)],
            ..Default::default()
        });
        D::paint(&gpu, &mut pass, &bound);
    }
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(SIDE as u32 * 4), rows_per_image: None };
    encoder.copy_texture_to_buffer(target.as_image_copy(), wgpu::TexelCopyBufferInfo { buffer: &buffer, layout }, size);
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    buffer.get_mapped_range(..).unwrap().to_vec()
}

fn pixels(seed: u64) -> Pixels {
    let noise = Random::new(seed, 0).normal_image(3, SIDE, SIDE);
    let rgb8: Arc<[u8]> = noise.iter().map(|n| (127.0 + 50.0 * n).clamp(0.0, 255.0) as u8).collect();
    Pixels { size: [SIDE, SIDE], rgb8 }
}

fn field(seed: u64) -> Field {
    Field { size: [SIDE, SIDE], values: Random::new(seed, 1).normal_image(1, SIDE, SIDE).into() }
}

/// What the CPU says of a pixel of the screen, at one pixel of the picture for each.
fn expected(draw: &Draw, x: usize, y: usize) -> [f32; 3] {
    let at = (draw.part[0] * SIDE as f32).round() as isize + x as isize;
    let Some(x_picture) = usize::try_from(at).ok().filter(|&at| at < SIDE) else {
        return [draw.ground.r(), draw.ground.g(), draw.ground.b()].map(f32::from);
    };
    let index = y * SIDE + x_picture;
    let color = |p: &Pixels| -> [f32; 3] { std::array::from_fn(|c| f32::from(p.rgb8[index * 3 + c])) };
    let (a, b) = (color(&draw.first), color(draw.second.as_ref().unwrap()));
    let is_second = match draw.show {
        Show::Second => true,
        Show::Wipe(share) => (x as f32 + 0.5) / SIDE as f32 >= share,
        _ => false,
    };
    let mut shown = if is_second { b } else { a };
    if let Show::Difference(factor) = draw.show {
        shown = std::array::from_fn(|c| (127.5 + (a[c] - b[c]) * factor * 0.5).clamp(0.0, 255.0));
    }
    if let Some(heat) = draw.heat {
        let [a, b] = [0, 1].map(|i| draw.maps[i].as_ref().unwrap().values[index]);
        let value = if heat.is_difference {
            a - b
        } else if is_second {
            b
        } else {
            a
        };
        let share = (value - heat.range[0]) / (heat.range[1] - heat.range[0]);
        let hot = heat.colormap.color(share);
        let hot = [hot.r(), hot.g(), hot.b()].map(f32::from);
        let gray = 0.299 * shown[0] + 0.587 * shown[1] + 0.114 * shown[2];
        shown = std::array::from_fn(|c| gray + (hot[c] - gray) * heat.opacity);
    }
    shown
}

#[test]
fn colours_on_the_graphics_card_are_those_of_the_cpu() {
    let Some((device, queue)) = device() else {
        eprintln!("SKIPPED: there is no graphics adapter");
        return;
    };
    let heat = |is_difference, colormap| Some(Heat { is_difference, opacity: 0.7, range: [-2.0, 2.0], colormap });
    let cases = [
        (Show::First, None),
        (Show::Second, None),
        (Show::Wipe(0.3), None),
        (Show::Difference(3.0), None),
        (Show::First, heat(false, Colormap::Viridis)),
        (Show::Second, heat(false, Colormap::Inferno)),
        (Show::Wipe(0.6), heat(false, Colormap::Viridis)),
        (Show::First, heat(true, Colormap::Diverging)),
    ];
    for (show, heat) in cases {
        // Ten pixels to the left of the picture are seen, too.
        let shift = 10.0 / SIDE as f32;
        let draw = Draw {
            first: pixels(1),
            second: Some(pixels(2)),
            maps: [Some(field(3)), Some(field(4))],
            part: [-shift, 0.0, 1.0 - shift, 1.0],
            show,
            heat,
            ground: Color32::from_rgb(10, 20, 30),
        };
        let got = rendered(&device, &queue, &draw);
        let mut worst = 0;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let wanted = expected(&draw, x, y);
                for channel in 0..3 {
                    let got = got[(y * SIDE + x) * 4 + channel];
                    worst = worst.max(got.abs_diff(wanted[channel].round() as u8));
                }
            }
        }
        println!("{show:?}, {heat:?}: off by {worst} of 255 at most");
        assert!(worst <= TOLERANCE, "{show:?} {heat:?}: {worst}");
    }
}

/// What the CPU says of a pixel of the screen: a cell's colour, or nothing between cells.
fn expected_cell(cells: &Cells, x: usize, y: usize) -> [f32; 4] {
    let [pitch_x, pitch_y] = cells.pitch;
    let mut at_x = cells.viewport[0] + (x as f32 + 0.5) * cells.viewport[2] / SIDE as f32;
    let at_y = cells.viewport[1] + (y as f32 + 0.5) * cells.viewport[3] / SIDE as f32;
    let gap = cells.gap.0 as f32 * pitch_x;
    if at_x >= gap {
        at_x -= cells.gap.1;
        if at_x < gap {
            return [0.0; 4];
        }
    }
    let (column, row) = ((at_x / pitch_x).floor(), (at_y / pitch_y).floor());
    let is_between =
        at_x - column * pitch_x >= pitch_x - cells.spacing || at_y - row * pitch_y >= pitch_y - cells.spacing;
    let is_outside = column < 0.0 || row < 0.0 || column >= cells.columns as f32;
    let value = cells.values.get(row.max(0.0) as usize * cells.columns + column.max(0.0) as usize);
    let Some(value) = value.filter(|_| !is_between && !is_outside) else { return [0.0; 4] };
    let color = if value.is_nan() { cells.absent } else { cells.colormap.color(*value) };
    [color.r(), color.g(), color.b(), 255].map(f32::from)
}

#[test]
fn cells_on_the_graphics_card_are_those_of_the_cpu() {
    let Some((device, queue)) = device() else {
        eprintln!("SKIPPED: there is no graphics adapter");
        return;
    };
    let mut values: Vec<f32> = (0..35).map(|i| i as f32 / 34.0).collect();
    values[9] = f32::NAN;
    for colormap in [Colormap::Viridis, Colormap::Diverging] {
        let cells = Cells {
            columns: 5,
            values: values.clone(),
            pitch: [11.0, 9.0],
            spacing: 1.0,
            gap: (3, 4.0),
            // Begins left of and above the first cell and ends beyond the last.
            viewport: [-3.0, -2.0, 70.0, 70.0],
            colormap,
            absent: Color32::from_rgb(10, 20, 30),
        };
        let got = rendered(&device, &queue, &cells);
        let mut colored = 0;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let wanted = expected_cell(&cells, x, y);
                colored += usize::from(wanted[3] > 0.0);
                for channel in 0..4 {
                    let got = got[(y * SIDE + x) * 4 + channel];
                    let off = got.abs_diff(wanted[channel].round() as u8);
                    assert!(off <= TOLERANCE, "{colormap:?} at {x}, {y}: {got} is not {wanted:?}");
                }
            }
        }
        assert!(colored > SIDE * SIDE / 2, "{colored} pixels belong to cells");
    }
}
