//! The machine's cameras: V4L2 on Linux, and through nokhwa AVFoundation on macOS and Media Foundation on Windows.
//!
//! A camera is opened when its first picture is asked for and closed when it is paused, so that its light says the truth.

mod choice;
mod convert;
#[cfg(not(target_os = "linux"))]
mod nokhwa;
mod source;
#[cfg(target_os = "linux")]
mod v4l2;

pub use convert::PixelFormat;
/// For benches/.
#[doc(hidden)]
pub mod bench {
    pub use super::convert::Converter;
}
pub use source::CameraSource;
#[cfg(test)]
pub(super) use source::fakes;

#[cfg(not(target_os = "linux"))]
use self::nokhwa as native;
#[cfg(target_os = "linux")]
use self::v4l2 as native;
use crate::base::{Error, ErrorCode, Result};

/// A camera of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camera {
    /// For people, and for `name` of [`VideoInput`](super::VideoInput).
    pub name: String,
    /// Names it where names are not unique; it can be given instead of the name. On Linux the number of `/dev/videoN`.
    pub id: String,
}

/// What a camera can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CameraFormat {
    pub pixels: PixelFormat,
    pub width: u32,
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
}

/// The cameras of this machine. The first is the one that is used when none is named. Fails with `device_unavailable`
/// when the system does not tell.
pub fn cameras() -> Result<Vec<Camera>> {
    native::cameras()
}

/// What a camera can deliver of what is understood here; it is opened for that, without a picture being taken.
/// Fails with `device_unavailable` when the camera is gone, taken by another program or access was
/// refused.
pub fn formats(camera: &Camera) -> Result<Vec<CameraFormat>> {
    native::formats(camera.id.clone())
}

/// The camera of that name or id, or the first. Fails with `device_unavailable` when it is not there, saying what is.
pub fn camera(name: Option<&str>) -> Result<Camera> {
    find(name, cameras()?)
}

fn find(name: Option<&str>, cameras: Vec<Camera>) -> Result<Camera> {
    let missing = |problem| Error::new(ErrorCode::DeviceUnavailable, problem);
    let known = cameras.iter().map(|camera| camera.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(name) = name else {
        return cameras
            .into_iter()
            .next()
            .ok_or_else(|| missing("there is no camera; plug one in, or choose a file".into()));
    };
    let problem = match known.as_str() {
        "" => format!("there is no camera named {name:?}; there is none at all"),
        known => format!("there is no camera named {name:?}; there are: {known}"),
    };
    cameras.into_iter().find(|camera| camera.id == name || camera.name == name).ok_or_else(|| missing(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_found_by_name_or_id_and_an_unknown_one_is_told_with_what_there_is() {
        let camera = |name: &str, id: &str| Camera { name: name.into(), id: id.into() };
        let all = || vec![camera("Front", "0"), camera("Back", "2")];
        assert_eq!(find(None, all()).unwrap().id, "0");
        assert_eq!(find(Some("Back"), all()).unwrap().id, "2");
        assert_eq!(find(Some("2"), all()).unwrap().name, "Back");
        let error = find(Some("Side"), all()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
        assert!(error.message().contains("Side") && error.message().contains("Front, Back"), "{error}");
        assert!(find(None, Vec::new()).unwrap_err().message().contains("no camera"));
    }
}
