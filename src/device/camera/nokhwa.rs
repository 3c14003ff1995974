//! macOS and Windows: nokhwa, on threads of its own: it may wait for a device without end, and panics on some.

use super::source::{Capture, Picture};
use super::{Camera, CameraFormat, PixelFormat};
use crate::base::{Error, ErrorCode, Result};
use nokhwa::utils::{ApiBackend, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution};
use std::time::Duration;

/// A camera that does not say within this what it can do is taken for broken.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const UNDERSTOOD: [FrameFormat; 6] = [
    FrameFormat::NV12,
    FrameFormat::YUYV,
    FrameFormat::RAWRGB,
    FrameFormat::RAWBGR,
    FrameFormat::GRAY,
    FrameFormat::MJPEG,
];

pub(super) fn cameras() -> Result<Vec<Camera>> {
    within_time("the cameras", || {
        let found = nokhwa::query(ApiBackend::Auto).map_err(|error| unavailable("the cameras", &error))?;
        let describe = |info: &nokhwa::utils::CameraInfo| (info.index().clone(), info.human_name());
        let mut cameras: Vec<(CameraIndex, String)> = found.iter().map(describe).collect();
        cameras.sort();
        Ok(cameras.into_iter().map(|(index, name)| Camera { name, id: index.as_string() }).collect())
    })
}

pub(super) fn formats(id: String) -> Result<Vec<CameraFormat>> {
    within_time(&format!("camera {id}"), move || {
        let name = format!("camera {id}");
        let any = RequestedFormat::with_formats(RequestedFormatType::None, &UNDERSTOOD);
        let mut camera = nokhwa::Camera::new(index(&id), any).map_err(|error| unavailable(&name, &error))?;
        let formats = camera.compatible_camera_formats().map_err(|error| unavailable(&name, &error))?;
        let ours = |format: nokhwa::utils::CameraFormat| {
            let (width, height, fps) = (format.width(), format.height(), format.frame_rate());
            CameraFormat { pixels: from_native(format.format()), width, height, fps }
        };
        Ok(formats.into_iter().map(ours).collect())
    })
}

/// Opens the camera and starts it; blocks. To be called on the thread that takes the pictures.
pub(super) fn open(camera: &Camera, format: CameraFormat) -> Result<Box<dyn Capture>> {
    let wanted = nokhwa::utils::CameraFormat::new(
        Resolution::new(format.width, format.height),
        to_native(format.pixels),
        format.fps,
    );
    let exact = RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), &UNDERSTOOD);
    let mut device =
        nokhwa::Camera::new(index(&camera.id), exact).map_err(|error| unavailable(&camera.name, &error))?;
    device.open_stream().map_err(|error| unavailable(&camera.name, &error))?;
    Ok(Box::new(Native { device, name: camera.name.clone() }))
}

struct Native {
    device: nokhwa::Camera,
    name: String,
}

impl Capture for Native {
    fn picture(&mut self) -> Result<Option<Picture>> {
        let buffer = self.device.frame().map_err(|error| unavailable(&self.name, &error))?;
        let size = buffer.resolution();
        let pixels = from_native(buffer.source_frame_format());
        Ok(Some(Picture { pixels, width: size.width(), height: size.height(), data: buffer.buffer_bytes() }))
    }
}

fn index(id: &str) -> CameraIndex {
    id.parse().map_or_else(|_| CameraIndex::String(id.to_owned()), CameraIndex::Index)
}

fn from_native(format: FrameFormat) -> PixelFormat {
    match format {
        FrameFormat::NV12 => PixelFormat::Nv12,
        FrameFormat::YUYV => PixelFormat::Yuyv,
        FrameFormat::RAWRGB => PixelFormat::Rgb,
        FrameFormat::RAWBGR => PixelFormat::Bgr,
        FrameFormat::GRAY => PixelFormat::Gray,
        FrameFormat::MJPEG => PixelFormat::Mjpeg,
    }
}

fn to_native(format: PixelFormat) -> FrameFormat {
    match format {
        // It has no name for I420, and never lists it.
        PixelFormat::Nv12 | PixelFormat::I420 => FrameFormat::NV12,
        PixelFormat::Yuyv => FrameFormat::YUYV,
        PixelFormat::Rgb => FrameFormat::RAWRGB,
        PixelFormat::Bgr => FrameFormat::RAWBGR,
        PixelFormat::Gray => FrameFormat::GRAY,
        PixelFormat::Mjpeg => FrameFormat::MJPEG,
    }
}

fn within_time<T: Send + 'static>(what: &str, ask: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (sender, answer) = crossbeam_channel::bounded(1);
    std::thread::Builder::new()
        .name("trill-camera-query".into())
        .spawn(move || drop(sender.send(ask())))
        .map_err(|e| Error::new(ErrorCode::Internal, format!("no thread for {what} can be started: {e}")))?;
    // Also when it panicked: then nobody answers any more.
    answer.recv_timeout(ANSWERS_WITHIN).unwrap_or_else(|_| {
        Err(Error::new(ErrorCode::DeviceUnavailable, format!("{what} did not answer; unplug and try again")))
    })
}

fn unavailable(what: &str, error: &nokhwa::NokhwaError) -> Error {
    let advice = "is it taken by another program, or access refused?";
    Error::new(ErrorCode::DeviceUnavailable, format!("{what} cannot be used: {error}; {advice}"))
}
