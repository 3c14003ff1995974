//! Linux: V4L2 itself, through the crate `v4l`. Rates are fractions here (12.5 or 29.97 a second are common), a camera that
//! stalls is noticed, and what the system says about a device is told.

use super::source::{Capture, Picture};
use super::{Camera, CameraFormat, PixelFormat};
use crate::base::{Error, ErrorCode, Result};
use bytes::Bytes;
use std::io;
use std::time::Duration;
use v4l::buffer::Type;
use v4l::capability::Flags;
use v4l::format::{Format, FourCC};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::traits::CaptureStream;
use v4l::prelude::{Device, MmapStream};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;

/// What is captured is looked at so often whether it should end.
const WAIT: Duration = Duration::from_millis(200);
const BUFFERS: u32 = 4;
/// Of a camera that scales to any size, these are offered.
const USUAL_SIZES: [(u32, u32); 7] =
    [(320, 180), (320, 240), (640, 360), (640, 480), (960, 540), (1280, 720), (1920, 1080)];
/// And of one that has any rate.
const USUAL_RATES: [u32; 3] = [15, 30, 60];
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;

const LAYOUTS: [(&[u8; 4], PixelFormat); 8] = [
    (b"NV12", PixelFormat::Nv12),
    (b"YU12", PixelFormat::I420),
    (b"YUYV", PixelFormat::Yuyv),
    (b"RGB3", PixelFormat::Rgb),
    (b"BGR3", PixelFormat::Bgr),
    (b"GREY", PixelFormat::Gray),
    (b"MJPG", PixelFormat::Mjpeg),
    (b"JPEG", PixelFormat::Mjpeg),
];

pub(super) fn cameras() -> Result<Vec<Camera>> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for node in v4l::context::enum_devices() {
        let (index, listed) = (node.index(), node.name());
        match Device::new(index).and_then(|device| device.query_caps()) {
            // A camera often has a second node, for metadata.
            Ok(about) if about.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) => {
                found.push((index, about.card));
            }
            Ok(_) => {}
            // It is there, and opening it says what is wrong.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => found.push((index, listed.unwrap_or_default())),
            Err(error) => tracing::debug!(index, %error, "a video device does not say what it is"),
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(index, name)| Camera { name, id: index.to_string() }).collect())
}

pub(super) fn formats(id: String) -> Result<Vec<CameraFormat>> {
    let name = format!("camera {id}");
    let device = device(&id).map_err(|error| unavailable(&name, &error))?;
    list_formats(&device).map_err(|error| unavailable(&name, &error))
}

fn list_formats(device: &Device) -> io::Result<Vec<CameraFormat>> {
    let mut formats = Vec::new();
    for about in device.enum_formats()? {
        let Some((_, pixels)) = LAYOUTS.iter().find(|(code, _)| FourCC::new(code) == about.fourcc) else { continue };
        for size in device.enum_framesizes(about.fourcc)? {
            for (width, height) in sizes(&size.size) {
                // One that does not list its rates has one.
                let intervals = device.enum_frameintervals(about.fourcc, width, height).unwrap_or_default();
                let mut all: Vec<u32> = intervals.iter().flat_map(|interval| rates(&interval.interval)).collect();
                if all.is_empty() {
                    all.push(30);
                }
                formats.extend(all.into_iter().map(|fps| CameraFormat { pixels: *pixels, width, height, fps }));
            }
        }
    }
    Ok(formats)
}

fn sizes(size: &FrameSizeEnum) -> Vec<(u32, u32)> {
    match size {
        FrameSizeEnum::Discrete(one) => vec![(one.width, one.height)],
        FrameSizeEnum::Stepwise(range) => {
            let has = |from: u32, to: u32, step: u32, side: u32| {
                (from..=to).contains(&side) && (side - from).is_multiple_of(step.max(1))
            };
            let usual = USUAL_SIZES.into_iter().filter(|(width, height)| {
                has(range.min_width, range.max_width, range.step_width, *width)
                    && has(range.min_height, range.max_height, range.step_height, *height)
            });
            let mut sizes: Vec<_> = usual.collect();
            if sizes.is_empty() {
                sizes.push((range.max_width, range.max_height));
            }
            sizes
        }
    }
}

/// Pictures a second, rounded: the driver takes its own rate that is nearest.
fn rates(interval: &FrameIntervalEnum) -> Vec<u32> {
    let rate = |numerator: u32, denominator: u32| {
        (f64::from(denominator) / f64::from(numerator.max(1))).round().clamp(1.0, 1000.0) as u32
    };
    match interval {
        FrameIntervalEnum::Discrete(one) => vec![rate(one.numerator, one.denominator)],
        FrameIntervalEnum::Stepwise(range) => {
            let (slowest, fastest) =
                (rate(range.max.numerator, range.max.denominator), rate(range.min.numerator, range.min.denominator));
            let mut rates: Vec<u32> =
                USUAL_RATES.into_iter().filter(|rate| (slowest..=fastest).contains(rate)).collect();
            if rates.is_empty() {
                rates.push(fastest);
            }
            rates
        }
    }
}

/// Opens the camera and starts it; blocks. To be called on the thread that takes the pictures.
pub(super) fn open(camera: &Camera, format: CameraFormat) -> Result<Box<dyn Capture>> {
    let failed = |error: io::Error| unavailable(&camera.name, &error);
    let device = device(&camera.id).map_err(failed)?;
    let code = device
        .enum_formats()
        .map_err(failed)?
        .into_iter()
        .map(|about| about.fourcc)
        .find(|fourcc| LAYOUTS.iter().any(|(code, pixels)| FourCC::new(code) == *fourcc && *pixels == format.pixels))
        .ok_or_else(|| refused(&camera.name, format))?;
    let got = device.set_format(&Format::new(format.width, format.height, code)).map_err(failed)?;
    let tight = format.pixels.row(got.width);
    if got.fourcc != code || tight.is_some_and(|bytes| got.stride != 0 && got.stride != bytes) {
        return Err(refused(&camera.name, format));
    }
    if let Err(error) = device.set_params(&Parameters::with_fps(format.fps)) {
        // It has one rate only.
        tracing::debug!(%error, camera = camera.name, "the rate cannot be set");
    }
    let mut stream = MmapStream::with_buffers(&device, Type::VideoCapture, BUFFERS).map_err(failed)?;
    stream.set_timeout(WAIT);
    Ok(Box::new(Streaming { stream, camera: camera.name.clone(), format, size: (got.width, got.height) }))
}

struct Streaming {
    stream: MmapStream<'static>,
    camera: String,
    format: CameraFormat,
    size: (u32, u32),
}

impl Capture for Streaming {
    fn picture(&mut self) -> Result<Option<Picture>> {
        match self.stream.next() {
            Ok((data, about)) => {
                let filled = data.get(..about.bytesused as usize).unwrap_or(data);
                let (width, height) = self.size;
                let data = Bytes::copy_from_slice(filled);
                Ok(Some(Picture { pixels: self.format.pixels, width, height, data }))
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            Err(error) => Err(unavailable(&self.camera, &error)),
        }
    }
}

fn device(id: &str) -> io::Result<Device> {
    let index =
        id.parse().map_err(|_| io::Error::new(io::ErrorKind::NotFound, "its id is the number of /dev/videoN"))?;
    Device::new(index)
}

fn refused(camera: &str, format: CameraFormat) -> Error {
    let CameraFormat { pixels, width, height, .. } = format;
    let problem =
        format!("{camera} does not deliver {width}x{height} in {pixels:?}, which it lists; name another camera");
    Error::new(ErrorCode::DeviceUnavailable, problem)
}

fn unavailable(camera: &str, error: &io::Error) -> Error {
    let advice = match (error.raw_os_error(), error.kind()) {
        (Some(EBUSY), _) => "another program has taken it; close that one",
        (Some(ENODEV), _) | (_, io::ErrorKind::NotFound) => "it was unplugged",
        (_, io::ErrorKind::PermissionDenied) => "access is refused: is the user in the group `video`?",
        _ => "unplug it and try again",
    };
    Error::new(ErrorCode::DeviceUnavailable, format!("{camera} cannot be used: {error}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::fraction::Fraction;
    use v4l::{frameinterval, framesize};

    #[test]
    fn rates_that_are_fractions_are_rounded_and_ranges_give_the_usual_ones() {
        let one = |numerator, denominator| FrameIntervalEnum::Discrete(Fraction::new(numerator, denominator));
        assert_eq!(rates(&one(2, 25)), [13]);
        assert_eq!(rates(&one(1001, 30_000)), [30]);
        assert_eq!(rates(&one(0, 0)), [1]);
        let range =
            |min, max| FrameIntervalEnum::Stepwise(frameinterval::Stepwise { min, max, step: Fraction::new(1, 1) });
        assert_eq!(rates(&range(Fraction::new(1, 40), Fraction::new(1, 1))), [15, 30]);
        assert_eq!(rates(&range(Fraction::new(1, 8), Fraction::new(1, 5))), [8]);
    }

    #[test]
    fn a_camera_of_any_size_offers_the_usual_ones() {
        let range = |max_width, max_height| {
            FrameSizeEnum::Stepwise(framesize::Stepwise {
                min_width: 16,
                max_width,
                step_width: 8,
                min_height: 16,
                max_height,
                step_height: 4,
            })
        };
        assert_eq!(sizes(&range(640, 480)), [(320, 180), (320, 240), (640, 360), (640, 480)]);
        assert_eq!(sizes(&range(160, 120)), [(160, 120)]);
    }

    #[test]
    fn what_the_system_says_becomes_advice() {
        for (error, advice) in [(EBUSY, "another program"), (ENODEV, "unplugged"), (13, "group `video`")] {
            let error = unavailable("Cam", &io::Error::from_raw_os_error(error));
            assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
            assert!(error.message().contains(advice) && error.message().contains("Cam"), "{error}");
        }
    }
}
