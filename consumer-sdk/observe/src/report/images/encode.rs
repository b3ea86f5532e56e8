//! Pixels as a small PNG file: with a palette of at most 256 colours.

use png::{BitDepth, ColorType, Compression, Encoder, EncodingError, Filter};
use std::collections::HashMap;

type Pixel = [u8; 3];
const MOST_COLORS: usize = 256;

/// RGB pixels, three bytes each, as a file. Where there are more than 256 colours, which edges of letters make, the rarest
/// are replaced by the nearest of the others.
///
/// # Errors
/// What the encoder said.
pub(super) fn png((width, height): (u32, u32), pixels: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let (palette, index) = palette(pixels);
    let mut indexed = Vec::with_capacity(pixels.len() / 3);
    for run in runs(pixels) {
        indexed.resize(indexed.len() + run.len(), index[&run[0]]);
    }
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(Compression::High);
    // Filters help with what is continuous; numbers of colours are not.
    encoder.set_filter(Filter::NoFilter);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indexed)?;
    writer.finish()?;
    Ok(file)
}

/// Pixels, as long as they are like the one before, which most are.
fn runs(pixels: &[u8]) -> impl Iterator<Item = &[Pixel]> {
    pixels.as_chunks().0.chunk_by(|a, b| a == b)
}

/// The colours, and which of them stands for each that there is.
fn palette(pixels: &[u8]) -> (Vec<Pixel>, HashMap<Pixel, u8>) {
    let mut counts: HashMap<Pixel, usize> = HashMap::new();
    for run in runs(pixels) {
        *counts.entry(run[0]).or_default() += run.len();
    }
    let mut colors: Vec<(Pixel, usize)> = counts.into_iter().collect();
    // By colour where they are equally frequent, so that the same picture makes the same file.
    colors.sort_unstable_by_key(|&(color, count)| (std::cmp::Reverse(count), color));
    let kept: Vec<Pixel> = colors
        .iter()
        .take(MOST_COLORS)
        .map(|color| color.0)
        .collect();
    let nearest = |color: Pixel| {
        let distance = |index: &usize| {
            let parts = kept[*index].iter().zip(&color);
            parts
                .map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2))
                .sum::<i32>()
        };
        (0..kept.len()).min_by_key(distance).unwrap_or_default() as u8
    };
    let index = colors
        .iter()
        .enumerate()
        .map(|(position, &(color, _))| match position < kept.len() {
            true => (color, position as u8),
            false => (color, nearest(color)),
        })
        .collect();
    (kept, index)
}
