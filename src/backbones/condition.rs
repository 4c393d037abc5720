//! What a picture is drawn under: all that depends on the LR image and its prompt, made once an image.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::card::Latent;
use crate::imaging::border::symmetric;
use crate::imaging::rows::Rows;
use crate::imaging::window::Resized;
use crate::imaging::{Image, SCALE};
use crate::{Error, Result};

/// What a person says of an image, for backbones that read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    pub text: String,
    /// What guidance leads away from.
    pub negative: String,
}

/// All that depends on one LR image. Any part of it can be had; what a backbone is shown of the LR image's pixels is never
/// whole unless the backbone keeps it so.
pub struct Condition<'l> {
    lr: &'l Image,
    latent: Latent,
    maps: Vec<Map<'l>>,
    texts: Vec<Tensor>,
    negative: Vec<Tensor>,
}

/// What of a condition is not the LR image itself, as it is kept: [`Condition::kept`], [`Condition::of_kept`].
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Maps in the order in which the backbone is shown them, each with its values for a latent's side; `None` is the LR image
    /// enlarged.
    pub maps: Vec<Option<(Tensor, usize)>>,
    /// Texts, and those that guidance leads away from.
    pub texts: Vec<[Tensor; 2]>,
}

impl Kept {
    /// The same on a device.
    pub fn on(self, device: &Device) -> Result<Self> {
        let map = |map: Option<(Tensor, usize)>| map.map(|(map, per)| Ok((map.to_device(device)?, per))).transpose();
        let text = |[text, away]: [Tensor; 2]| Ok([text.to_device(device)?, away.to_device(device)?]);
        let maps = self.maps.into_iter().map(map).collect::<Result<_>>()?;
        Ok(Self { maps, texts: self.texts.into_iter().map(text).collect::<Result<_>>()? })
    }

    /// Whether it is the LR image alone.
    pub fn is_lr_alone(&self) -> bool {
        self.texts.is_empty() && self.maps.iter().all(Option::is_none)
    }
}

/// Values that have a place in the picture.
enum Map<'l> {
    /// The LR image enlarged to the output's size, padded by mirroring, in [0, 1].
    Enlarged(Resized<'l>),
    /// `[1, C, h·per, w·per]`.
    Kept(Tensor, usize),
}

impl<'l> Condition<'l> {
    /// A condition that shows nothing yet.
    pub fn new(lr: &'l Image, latent: Latent) -> Self {
        Self { lr, latent, maps: Vec::new(), texts: Vec::new(), negative: Vec::new() }
    }

    /// Shows the enlarged LR image besides, part by part.
    pub fn with_enlarged(mut self) -> Self {
        self.maps.push(Map::Enlarged(Resized::x4(self.lr)));
        self
    }

    /// Shows a map besides: `[1, C, h·per, w·per]` of the padded picture, whose latents are `[h, w]`.
    pub fn with_map(mut self, map: Tensor, per: usize) -> Self {
        self.maps.push(Map::Kept(map, per));
        self
    }

    /// Shows the same tensor `[1, …]` everywhere besides, and where classifier-free guidance leads away from the negative
    /// prompt the other.
    pub fn with_text(mut self, text: Tensor, negative: Tensor) -> Self {
        self.texts.push(text);
        self.negative.push(negative);
        self
    }

    /// What of it is not the LR image itself.
    pub fn kept(&self) -> Kept {
        let map = |map: &Map| match map {
            Map::Enlarged(_) => None,
            Map::Kept(map, per) => Some((map.clone(), *per)),
        };
        let texts = self.texts.iter().cloned().zip(self.negative.iter().cloned());
        Kept { maps: self.maps.iter().map(map).collect(), texts: texts.map(<[Tensor; 2]>::from).collect() }
    }

    /// The condition of an LR image whose other parts were kept. Errors: a map is of another picture's size.
    pub fn of_kept(lr: &'l Image, latent: Latent, kept: Kept) -> Result<Self> {
        let mut condition = Self::new(lr, latent);
        let [height, width] = condition.size();
        for map in kept.maps {
            condition = match map {
                None => condition.with_enlarged(),
                Some((map, per)) if map.dims().get(2..) == Some(&[height * per, width * per]) => {
                    condition.with_map(map, per)
                }
                Some((map, _)) => {
                    return Err(Error::invalid(format!("a map of {:?} values is not this picture's", map.dims())));
                }
            };
        }
        Ok(kept.texts.into_iter().fold(condition, |all, [text, negative]| all.with_text(text, negative)))
    }

    /// The LR image.
    pub fn lr(&self) -> &'l Image {
        self.lr
    }

    /// Height and width of the picture in pixels, without the padding.
    pub fn px(&self) -> [usize; 2] {
        [self.lr.height() * SCALE, self.lr.width() * SCALE]
    }

    /// Height and width in latents, with the padding.
    pub fn size(&self) -> [usize; 2] {
        self.latent.size(self.px())
    }

    /// The whole of it.
    pub fn whole(&self, count: usize, device: &Device) -> Result<Shown> {
        let [height, width] = self.size();
        self.window(&(0..height), &(0..width), count, device)
    }

    /// A part in latents, the same for `count` items.
    pub fn window(&self, rows: &Range<usize>, columns: &Range<usize>, count: usize, device: &Device) -> Result<Shown> {
        let factor = self.latent.factor;
        let maps = self.maps.iter().map(|map| match map {
            Map::Enlarged(enlarged) => {
                let [rows, columns] = [rows, columns].map(|range| range.start * factor..range.end * factor);
                part(enlarged, &rows, &columns, device)
            }
            Map::Kept(map, per) => {
                let part = map.narrow(2, rows.start * per, rows.len() * per)?;
                Ok(part.narrow(3, columns.start * per, columns.len() * per)?.contiguous()?)
            }
        });
        let one = Shown::of(maps.collect::<Result<_>>()?, self.texts.clone());
        one.repeated(count)
    }

    /// [`Condition::window`] with every text the one that guidance leads away from; the maps are those of `shown`.
    pub fn led_away(&self, shown: &Shown) -> Result<Shown> {
        let count = shown.count();
        let texts = self.negative.iter().map(|text| repeated(text, count)).collect::<Result<_>>()?;
        Ok(Shown { texts, ..shown.clone() })
    }
}

/// A part of the enlarged and padded image, `[1, 3, rows, columns]`.
fn part(enlarged: &Resized, rows: &Range<usize>, columns: &Range<usize>, device: &Device) -> Result<Tensor> {
    let mirrored =
        |range: &Range<usize>, n: usize| -> Vec<usize> { range.clone().map(|i| symmetric(i as isize, n)).collect() };
    let mut values = enlarged.at(&mirrored(rows, enlarged.height()), &mirrored(columns, enlarged.width()));
    values.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    Ok(Tensor::from_vec(values, (1, 3, rows.len(), columns.len()), device)?)
}

fn repeated(one: &Tensor, count: usize) -> Result<Tensor> {
    if count == 1 {
        return Ok(one.clone());
    }
    let mut shape = one.dims().to_vec();
    shape[0] = count;
    Ok(one.broadcast_as(shape)?.contiguous()?)
}

/// The part of conditions that a network is shown beside `x_t`, for every item of a batch: in the order in which the backbone
/// put them into the [`Condition`].
#[derive(Clone, Debug, Default)]
pub struct Shown {
    maps: Vec<Tensor>,
    texts: Vec<Tensor>,
    /// What maps that are distributions are drawn with.
    noise: Option<Tensor>,
}

impl Shown {
    /// Maps `[B, C, h·per, w·per]` and tensors without a place, `[B, …]`.
    pub fn of(maps: Vec<Tensor>, texts: Vec<Tensor>) -> Self {
        Self { maps, texts, noise: None }
    }

    /// With what [`Shown::drawn`] draws, `[B, C, h, w]`.
    pub fn drawn_with(self, noise: Tensor) -> Self {
        Self { noise: Some(noise), ..self }
    }

    /// A draw of a map of means and deviations `[B, 2·C, h, w]`; the means where there is nothing to draw with.
    pub fn drawn(&self, index: usize) -> Result<Tensor> {
        let map = self.map(index)?;
        let channels = map.dim(1)? / 2;
        let mean = map.narrow(1, 0, channels)?.contiguous()?;
        match &self.noise {
            Some(noise) => Ok((mean + (map.narrow(1, channels, channels)? * noise)?)?),
            None => Ok(mean),
        }
    }

    /// A map by its number.
    pub fn map(&self, index: usize) -> Result<&Tensor> {
        self.maps.get(index).ok_or_else(|| Error::invalid("the backbone is not shown what it needs"))
    }

    /// A tensor without a place by its number.
    pub fn text(&self, index: usize) -> Result<&Tensor> {
        self.texts.get(index).ok_or_else(|| Error::invalid("the backbone is not shown the text it needs"))
    }

    /// Bytes of all of it.
    pub fn byte_count(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.maps.iter().chain(&self.texts).chain(&self.noise).map(bytes).sum()
    }

    /// The same on a device.
    pub fn on(&self, device: &Device) -> Result<Self> {
        let all = |tensors: &[Tensor]| tensors.iter().map(|t| Ok(t.to_device(device)?)).collect::<Result<Vec<_>>>();
        let noise = self.noise.as_ref().map(|noise| noise.to_device(device)).transpose()?;
        Ok(Self { maps: all(&self.maps)?, texts: all(&self.texts)?, noise })
    }

    /// Number of items.
    pub fn count(&self) -> usize {
        self.maps.iter().chain(&self.texts).find_map(|tensor| tensor.dims().first().copied()).unwrap_or(1)
    }

    /// One item's, for `count` of them.
    pub fn repeated(&self, count: usize) -> Result<Self> {
        let all = |tensors: &[Tensor]| tensors.iter().map(|tensor| repeated(tensor, count)).collect::<Result<Vec<_>>>();
        let noise = self.noise.as_ref().map(|noise| repeated(noise, count)).transpose()?;
        Ok(Self { maps: all(&self.maps)?, texts: all(&self.texts)?, noise })
    }

    /// Those of several, one after the other.
    pub fn stacked(all: &[&Self]) -> Result<Self> {
        let Some(first) = all.first() else { return Ok(Self::default()) };
        let stack = |of: fn(&Self) -> &Vec<Tensor>| {
            (0..of(first).len())
                .map(|i| {
                    let parts: Vec<&Tensor> = all.iter().filter_map(|shown| of(shown).get(i)).collect();
                    Ok(Tensor::cat(&parts, 0)?)
                })
                .collect::<Result<Vec<_>>>()
        };
        let noise: Vec<&Tensor> = all.iter().filter_map(|shown| shown.noise.as_ref()).collect();
        let noise = (noise.len() == all.len()).then(|| Tensor::cat(&noise, 0)).transpose()?;
        Ok(Self { maps: stack(|shown| &shown.maps)?, texts: stack(|shown| &shown.texts)?, noise })
    }

    /// The maps turned as [`crate::imaging::turn::turned`] turns pictures.
    pub fn turned(&self, way: usize) -> Result<Self> {
        let maps = self.maps.iter().map(|map| turned(map, way)).collect::<Result<_>>()?;
        let noise = self.noise.as_ref().map(|noise| turned(noise, way)).transpose()?;
        Ok(Self { maps, noise, texts: self.texts.clone() })
    }
}

/// A `[1, C, h, w]` tensor turned as [`turn::turned`](crate::imaging::turn::turned) turns a picture.
pub fn turned(map: &Tensor, way: usize) -> Result<Tensor> {
    let dims: Vec<usize> = [(1, 3), (2, 2)].into_iter().filter(|(bit, _)| way & bit != 0).map(|(_, dim)| dim).collect();
    let mirrored = if dims.is_empty() { map.clone() } else { map.flip(&dims)? };
    Ok(if way & 4 != 0 { mirrored.transpose(2, 3)?.contiguous()? } else { mirrored.contiguous()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::fixture::picture;
    use crate::imaging::turn;

    #[test]
    fn maps_are_turned_as_pictures_are() {
        let image = picture(7, 5, 0);
        let tensor =
            |image: &Image| Tensor::from_slice(image.data(), (1, 3, image.height(), image.width()), &Device::Cpu);
        for way in 0..turn::WAYS {
            let shown = Shown::of(vec![tensor(&image).unwrap()], Vec::new()).turned(way).unwrap();
            let expected = tensor(&turn::turned(&image, way)).unwrap();
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(shown.map(0).unwrap().dims(), expected.dims());
            assert_eq!(flat(shown.map(0).unwrap()), flat(&expected), "way {way}");
        }
    }

    #[test]
    fn a_part_of_every_map_is_the_part_of_the_whole() {
        let lr = picture(6, 5, 1);
        let latent = Latent { channels: 4, factor: 8, align: 16 };
        let kept = Tensor::arange(0f32, 2.0 * 8.0 * 8.0, &Device::Cpu).unwrap().reshape((1, 2, 8, 8)).unwrap();
        let condition = Condition::new(&lr, latent).with_enlarged().with_map(kept, 2);
        assert_eq!((condition.px(), condition.size()), ([20, 24], [4, 4]));
        let whole = condition.whole(1, &Device::Cpu).unwrap();
        let part = condition.window(&(1..3), &(2..4), 2, &Device::Cpu).unwrap();
        for (index, per) in [(0, 8), (1, 2)] {
            let expected =
                whole.map(index).unwrap().narrow(2, per, 2 * per).unwrap().narrow(3, 2 * per, 2 * per).unwrap();
            let got = part.map(index).unwrap();
            assert_eq!(got.dims()[0], 2);
            let difference = (got.get(1).unwrap() - expected.get(0).unwrap()).unwrap().abs().unwrap();
            assert_eq!(difference.max_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
        }
    }
}
