// Draws a part of one or two pictures, their difference, and a metric's map on top of them.
//
// Colours stay as the files hold them (gamma encoded) unless the target encodes them itself. Every texture is read
// texel by texel: a pixel that is larger than a point of the screen is to be seen as a square.

struct View {
    // Left, top, right, bottom of the viewport in shares of the picture.
    part: vec4<f32>,
    // What is shown (0 the first, 1 the second, 2 their difference, 3 first | second), place of the divider in
    // shares of the viewport, amplification of the difference, 1 if the target encodes sRGB itself.
    show: vec4<f32>,
    // Map (0 none, 1 that of the picture shown, 2 first less second), opacity, lower and upper end of the scale.
    heat: vec4<f32>,
    // Behind the picture.
    ground: vec4<f32>,
};

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var first: texture_2d<f32>;
@group(0) @binding(2) var second: texture_2d<f32>;
@group(0) @binding(3) var first_map: texture_2d<f32>;
@group(0) @binding(4) var second_map: texture_2d<f32>;
@group(0) @binding(5) var colormap: texture_2d<f32>;

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

fn texel(source: texture_2d<f32>, at: vec2<f32>) -> vec4<f32> {
    let size = vec2<i32>(textureDimensions(source));
    let place = vec2<i32>(floor(at * vec2<f32>(size)));
    return textureLoad(source, clamp(place, vec2<i32>(0), size - 1), 0);
}

// The mean over a pixel of the screen, `span` wide in shares of the picture; a single texel where that is less.
fn mean(source: texture_2d<f32>, at: vec2<f32>, span: vec2<f32>) -> vec4<f32> {
    let texels = span * vec2<f32>(textureDimensions(source));
    let taps = vec2<i32>(clamp(ceil(texels - 0.01), vec2<f32>(1.0), vec2<f32>(4.0)));
    var sum = vec4<f32>(0.0);
    for (var y = 0; y < taps.y; y++) {
        for (var x = 0; x < taps.x; x++) {
            let offset = (vec2<f32>(f32(x), f32(y)) + 0.5) / vec2<f32>(taps) - 0.5;
            sum += texel(source, at + offset * span);
        }
    }
    return sum / f32(taps.x * taps.y);
}

fn linear_from_gamma(color: vec3<f32>) -> vec3<f32> {
    let lower = color / 12.92;
    let higher = pow((color + 0.055) / 1.055, vec3<f32>(2.4));
    return select(higher, lower, color < vec3<f32>(0.04045));
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let extent = view.part.zw - view.part.xy;
    let at = view.part.xy + corner.at * extent;
    let span = abs(vec2<f32>(dpdx(at.x), dpdy(at.y)));
    let a = mean(first, at, span).rgb;
    let b = mean(second, at, span).rgb;
    let map_a = mean(first_map, at, span).r;
    let map_b = mean(second_map, at, span).r;
    let mode = i32(view.show.x);
    let is_second = mode == 1 || (mode == 3 && corner.at.x >= view.show.y);
    var color = select(a, b, is_second);
    if (mode == 2) {
        color = clamp(0.5 + (a - b) * view.show.z * 0.5, vec3<f32>(0.0), vec3<f32>(1.0));
    }
    let heat = i32(view.heat.x);
    if (heat > 0) {
        let value = select(select(map_a, map_b, is_second), map_a - map_b, heat == 2);
        let share = clamp((value - view.heat.z) / max(view.heat.w - view.heat.z, 1e-12), 0.0, 1.0);
        let last = f32(textureDimensions(colormap).x - 1u);
        let place = i32(floor(share * last + 0.5));
        // Without its own colours the picture cannot be taken for the map's.
        let gray = vec3<f32>(dot(color, vec3<f32>(0.299, 0.587, 0.114)));
        color = mix(gray, textureLoad(colormap, vec2<i32>(place, 0), 0).rgb, view.heat.y);
    }
    let is_outside = any(at < vec2<f32>(0.0)) || any(at >= vec2<f32>(1.0));
    color = select(color, view.ground.rgb, is_outside);
    return vec4<f32>(select(color, linear_from_gamma(color), view.show.w > 0.5), 1.0);
}
