//! Pictures of known patterns.

use super::super::{look, sample};
use super::*;

/// A directory of this test's own.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vmmload-pictures-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

/// Size and pixels, three bytes each.
fn decoded(file: &[u8]) -> ((u32, u32), Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("it is a PNG file");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut pixels).expect("it has pixels");
    assert_eq!(info.color_type, png::ColorType::Rgb);
    ((info.width, info.height), pixels)
}

#[test]
fn every_process_has_every_picture_under_its_name() {
    let mut second = sample::waves(4712, 30, 60.0);
    second.facts.program = 2;
    let analysis = sample::analysis(vec![sample::stripes(), second, sample::untouched(9)]);
    for (format, ending) in [(Format::Png, "png"), (Format::Svg, "svg")] {
        let directory = directory(ending);
        let written = write(&analysis, &directory, format).expect("it can be written");
        assert_eq!(written.len(), 12);
        for prefix in ["4711", "4712-2"] {
            for chart in Chart::ALL {
                let path = directory.join(format!("{prefix}-{}.{ending}", chart.name()));
                assert!(written.contains(&path), "{}", path.display());
                let size = fs::metadata(&path).expect("it is there").len();
                assert!(size < 150_000, "{} has {size} bytes", path.display());
            }
        }
        fs::remove_dir_all(directory).expect("it is ours");
    }
}

#[test]
fn the_stripes_have_their_colours_in_pixels() {
    let file = png(Chart::Heat, &sample::stripes()).expect("it can be drawn");
    let (size, pixels) = decoded(&file);
    assert_eq!(size, SIZE);
    let at = |x: usize, y: usize| {
        let pixel = (y * SIZE.0 as usize + x) * 3;
        (pixels[pixel], pixels[pixel + 1], pixels[pixel + 2])
    };
    // A quarter and three quarters of the way, in both directions, well within the chart.
    let (left, right, upper, lower) = (600, 1150, 300, 650);
    assert_eq!(at(left, lower), look::heat(100));
    assert_eq!(at(right, upper), look::heat(100));
    assert_eq!(at(left, upper), look::EMPTY);
    assert_eq!(at(right, lower), look::EMPTY);
}

#[test]
fn the_stripes_have_their_colours_in_the_image_within_svg() {
    let text = svg(Chart::Heat, &sample::stripes()).expect("it can be drawn");
    let document = roxmltree::Document::parse(&text).expect("it is XML");
    let images: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name("image"))
        .collect();
    assert_eq!(images.len(), 1);
    let data = images[0].attribute("href").expect("it is there");
    let data = data
        .strip_prefix("data:image/png;base64,")
        .expect("it is within");
    let file = base64::engine::general_purpose::STANDARD
        .decode(data)
        .expect("it is base64");
    let ((wide, high), pixels) = decoded(&file);
    assert_eq!(
        images[0].attribute("width"),
        Some(wide.to_string().as_str())
    );
    assert_eq!(
        images[0].attribute("height"),
        Some(high.to_string().as_str())
    );
    let at = |x: u32, y: u32| {
        let pixel = (y * wide + x) as usize * 3;
        (pixels[pixel], pixels[pixel + 1], pixels[pixel + 2])
    };
    assert_eq!(at(wide / 4, high * 3 / 4), look::heat(100));
    assert_eq!(at(wide / 4, high / 4), look::EMPTY);
    assert_eq!(at(wide / 4, high / 2), (0xff, 0xff, 0xff));
}

#[test]
fn the_palette_keeps_frequent_colours_and_replaces_rare_ones_by_near_ones() {
    // 400 colours: each of the first 200 in 3 pixels, others in one each.
    let color = |index: usize| [(index % 256) as u8, (index / 256) as u8, 7];
    let indices = (0..200).flat_map(|index| [index; 3]).chain(200..400);
    let pixels: Vec<u8> = indices.clone().flat_map(color).collect();
    let file = encode::png((800, 1), &pixels).expect("it can be encoded");
    let (size, shown) = decoded(&file);
    assert_eq!(size, (800, 1));
    assert_eq!(shown[..1800], pixels[..1800]);
    let far = shown.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(far <= Some(150), "{far:?}");
}

#[test]
fn hostile_names_leave_the_xml_well_formed() {
    let processes = [
        sample::hostile(13),
        sample::waves(7, 40, 600.0),
        sample::stripes(),
    ];
    for process in &processes {
        for chart in Chart::ALL {
            let text = svg(chart, process).expect("it can be drawn");
            let document = roxmltree::Document::parse(&text)
                .unwrap_or_else(|cause| panic!("{}: {cause}", chart.name()));
            let names: Vec<&str> = document
                .descendants()
                .filter(roxmltree::Node::is_element)
                .map(|node| node.tag_name().name())
                .collect();
            assert!(!names.contains(&"img") && !names.contains(&"script"));
            assert!(names.contains(&"text"), "{}", chart.name());
        }
    }
}

/// The boxes of all texts of a picture, roughly: left, top, right, bottom, and the text.
fn texts(document: &roxmltree::Document<'_>) -> Vec<(f64, f64, f64, f64, String)> {
    let of = |node: roxmltree::Node<'_, '_>| {
        let number = |name| node.attribute(name)?.parse::<f64>().ok();
        let (x, y, size) = (number("x")?, number("y")?, number("font-size")?);
        if node.attribute("transform").is_some() {
            return None;
        }
        let text = node.text()?.trim().to_owned();
        let wide = text.chars().count() as f64 * size * 0.5;
        let left = match node.attribute("text-anchor")? {
            "start" => x,
            "end" => x - wide,
            _ => x - wide / 2.0,
        };
        let bottom = match node.attribute("dy")? {
            "0.76em" => y + size * 0.76,
            "0.5ex" => y + size * 0.25,
            _ => y - size * 0.25,
        };
        Some((left, bottom - size * 0.7, left + wide, bottom, text))
    };
    document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(of)
        .collect()
}

#[test]
fn texts_do_not_overlap_and_stay_within_the_picture() {
    let processes = [
        sample::hostile(13),
        sample::waves(7, 40, 600.0),
        sample::waves(8, 1, 30.0),
        sample::process(9, (1, 1, 1), 0.005, |_, _, _| 1),
        sample::stripes(),
    ];
    for process in &processes {
        for chart in Chart::ALL {
            let text = svg(chart, process).expect("it can be drawn");
            let document = roxmltree::Document::parse(&text).expect("it is XML");
            let texts = texts(&document);
            for (index, one) in texts.iter().enumerate() {
                let inside = one.0 >= 0.0 && one.2 <= 1600.0 && one.1 >= 0.0 && one.3 <= 900.0;
                assert!(inside, "{} {}: {one:?}", process.facts.pid, chart.name());
                for other in &texts[index + 1..] {
                    let apart = one.2 <= other.0
                        || other.2 <= one.0
                        || one.3 <= other.1
                        || other.3 <= one.1;
                    let name = chart.name();
                    assert!(apart, "{} {name}: {one:?} {other:?}", process.facts.pid);
                }
            }
        }
    }
}
