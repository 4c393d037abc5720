// Draws cells coloured by their values, in columns and rows with a gap after the first columns.
//
// Lengths are points, seen from the first cell's corner. Colours are gamma encoded unless the target encodes them itself.

struct Cells {
    // Width and height from one cell to the next, what is left free between cells, 1 if the target encodes sRGB itself.
    pitch: vec4<f32>,
    // Columns before the gap, its width, columns, rows.
    shape: vec4<f32>,
    // Left, top, width, height of the viewport.
    viewport: vec4<f32>,
    // Colour of a cell without a value.
    absent: vec4<f32>,
};

@group(0) @binding(0) var<uniform> cells: Cells;
@group(0) @binding(1) var values: texture_2d<f32>;
@group(0) @binding(2) var colormap: texture_2d<f32>;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) at: vec2<f32>,
};

// One triangle that covers the viewport.
@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    let at = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    return Corner(vec4<f32>(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0.0, 1.0), at);
}

fn linear_from_gamma(color: vec3<f32>) -> vec3<f32> {
    let lower = color / 12.92;
    let higher = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(higher, lower, color < vec3<f32>(0.04045));
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    var at = cells.viewport.xy + corner.at * cells.viewport.zw;
    let gap_start = cells.shape.x * cells.pitch.x;
    let is_gap = at.x >= gap_start && at.x < gap_start + cells.shape.y;
    at.x -= select(0.0, cells.shape.y, at.x >= gap_start + cells.shape.y);
    let place = floor(at / cells.pitch.xy);
    let within = at - place * cells.pitch.xy;
    let is_between = any(within >= cells.pitch.xy - cells.pitch.z);
    let is_outside = any(place < vec2<f32>(0.0)) || any(place >= cells.shape.zw);
    if (is_gap || is_between || is_outside) {
        return vec4<f32>(0.0);
    }
    let value = textureLoad(values, vec2<i32>(place), 0).r;
    let last = f32(textureDimensions(colormap).x - 1u);
    let entry = i32(floor(clamp(value, 0.0, 1.0) * last + 0.5));
    let color = select(textureLoad(colormap, vec2<i32>(entry, 0), 0).rgb, cells.absent.rgb, value < 0.0);
    return vec4<f32>(select(color, linear_from_gamma(color), cells.pitch.w > 0.5), 1.0);
}
