//! Whether there is something to hear, speak and see with.

use super::{Finding, Verdict};
#[cfg(not(feature = "devices"))]
pub fn check(tell: &mut impl FnMut(Finding)) {
    tell(Finding::new("devices", Verdict::Skipped, "this build has no devices", "build with the feature `devices`"));
}

#[cfg(feature = "devices")]
pub fn check(tell: &mut impl FnMut(Finding)) {
    use trill::device::camera;
    use trill::device::sound::{Microphone, Speaker};
    // What is told of one that fails says what to do; a call can be held without it.
    tell(match Microphone::open(None) {
        Ok(opened) => Finding::ok("microphone", format!("the default one opens: {}", opened.device().name)),
        Err(error) => Finding::new(
            "microphone",
            Verdict::Warning,
            error.message(),
            "plug one in, start the sound server (PipeWire or PulseAudio), or see `trill devices` and --mic",
        ),
    });
    tell(match Speaker::open(None) {
        Ok(opened) => Finding::ok("speaker", format!("the default one opens: {}", opened.device().name)),
        Err(error) => Finding::new(
            "speaker",
            Verdict::Warning,
            error.message(),
            "plug one in, start the sound server (PipeWire or PulseAudio), or see `trill devices` and --speaker",
        ),
    });
    let cameras = camera::cameras().and_then(|cameras| match cameras.first() {
        Some(first) => camera::formats(first).map(|formats| Some((first.name.clone(), formats.len()))),
        None => Ok(None),
    });
    tell(match cameras {
        Ok(Some((name, formats))) => Finding::ok("camera", format!("{name}, with {formats} formats")),
        Ok(None) => Finding::new(
            "camera",
            Verdict::Warning,
            "there is none",
            "plug one in for video calls; on Linux it is a /dev/video0 that the group `video` may read",
        ),
        Err(error) => Finding::new("camera", Verdict::Warning, error.message(), "see `trill devices`"),
    });
}
