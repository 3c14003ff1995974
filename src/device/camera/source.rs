//! A camera as a video source.

use super::convert::Converter;
use super::{Camera, CameraFormat, PixelFormat, choice, find, native};
use crate::base::{Error, ErrorCode, Result};
use crate::device::{MAX_WAIT, Next, VideoSource};
use crate::media::frame::VideoFrame;
use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A camera that brings no picture for so long is taken for gone. Opening one takes a second or two.
const STALLED: Duration = Duration::from_secs(5);
/// Pictures that wait to be encoded; what comes on top is dropped.
const WAITING: usize = 2;

/// Where pictures come from; lives on the thread that takes them.
pub(super) trait Capture {
    /// Waits for the next picture: for a moment, or without end if the system knows no other way.
    fn picture(&mut self) -> Result<Option<Picture>>;
}

pub(super) struct Picture {
    pub(super) pixels: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    /// It may be longer than the picture.
    pub(super) data: Bytes,
}

type Open = Arc<dyn Fn() -> Result<Box<dyn Capture>> + Send + Sync>;

/// Pictures of a camera. It captures from the first picture that is asked for, except while it is paused.
pub struct CameraSource {
    camera: Camera,
    format: CameraFormat,
    open: Open,
    /// Timestamps count from here, across pauses.
    epoch: Instant,
    running: Option<Running>,
    /// The one before may still be closing the camera.
    closing: Option<Receiver<Result<VideoFrame>>>,
    /// When a picture came, or the camera was asked for one.
    last: Instant,
    /// [`STALLED`].
    patience: Duration,
}

struct Running {
    pictures: Receiver<Result<VideoFrame>>,
    spare: Sender<VideoFrame>,
    stop: Arc<AtomicBool>,
}

impl CameraSource {
    /// The camera of that name or id, or the first, in the format that comes nearest to the size and rate. No picture is
    /// taken yet. Fails with `device_unavailable`, saying why.
    pub fn open(name: Option<&str>, size: (u32, u32), fps: u32) -> Result<Self> {
        let camera = find(name, super::cameras()?)?;
        let formats = super::formats(&camera)?;
        let format = choice::best(&formats, size, fps).ok_or_else(|| {
            let problem = format!("{} has only formats that are not supported", camera.name);
            Error::new(ErrorCode::DeviceUnavailable, problem)
        })?;
        Ok(Self::new(camera.clone(), format, Arc::new(move || native::open(&camera, format))))
    }

    fn new(camera: Camera, format: CameraFormat, open: Open) -> Self {
        let now = Instant::now();
        Self { camera, format, open, epoch: now, running: None, closing: None, last: now, patience: STALLED }
    }

    pub fn camera(&self) -> &Camera {
        &self.camera
    }

    /// What the camera was found to deliver.
    pub fn format(&self) -> CameraFormat {
        self.format
    }

    /// `None` while the camera is not closed yet.
    fn start(&mut self) -> Result<Option<Running>> {
        if let Some(closing) = &self.closing {
            let deadline = Instant::now() + MAX_WAIT;
            while closing.recv_deadline(deadline).is_ok() {}
            if closing.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
                return if self.last.elapsed() > self.patience { Err(self.stalled()) } else { Ok(None) };
            }
            self.closing = None;
        }
        let (sender, pictures) = bounded(WAITING);
        let (spare, spares) = bounded(WAITING + 2);
        let stop = Arc::new(AtomicBool::new(false));
        let worker =
            Worker { open: self.open.clone(), epoch: self.epoch, pictures: sender, spares, stop: stop.clone() };
        std::thread::Builder::new()
            .name("trill-camera".into())
            .spawn(move || worker.run())
            .map_err(|e| Error::new(ErrorCode::Internal, format!("the camera's thread cannot be started: {e}")))?;
        self.last = Instant::now();
        Ok(Some(Running { pictures, spare, stop }))
    }

    fn stalled(&self) -> Error {
        let problem = format!("{} brings no pictures; is it unplugged, or taken by another program?", self.camera.name);
        Error::new(ErrorCode::DeviceUnavailable, problem)
    }
}

impl VideoSource for CameraSource {
    fn next_frame(&mut self, frame: &mut VideoFrame) -> Result<Next> {
        if self.running.is_none() {
            self.running = self.start()?;
        }
        let Some(running) = &self.running else { return Ok(Next::Nothing) };
        match running.pictures.recv_timeout(MAX_WAIT) {
            Ok(picture) => {
                let used = std::mem::replace(frame, picture?);
                let _ = running.spare.try_send(used);
                self.last = Instant::now();
                Ok(Next::Frame)
            }
            Err(RecvTimeoutError::Timeout) if self.last.elapsed() > self.patience => Err(self.stalled()),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => Err(self.stalled()),
        }
    }

    /// Closes the camera, within the time of one picture.
    fn pause(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop.store(true, Relaxed);
            self.closing = Some(running.pictures);
        }
    }

    fn resume(&mut self) {
        self.last = Instant::now();
    }
}

impl Drop for CameraSource {
    fn drop(&mut self) {
        self.pause();
    }
}

/// The thread of an open camera. It is not waited for: a driver may hold it without end.
struct Worker {
    open: Open,
    epoch: Instant,
    pictures: Sender<Result<VideoFrame>>,
    spares: Receiver<VideoFrame>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(self) {
        if let Err(error) = self.capture() {
            let _ = self.pictures.try_send(Err(error));
        }
    }

    fn capture(&self) -> Result<()> {
        let mut capture = (self.open)()?;
        let mut converter = Converter::default();
        while !self.stop.load(Relaxed) {
            let Some(picture) = capture.picture()? else { continue };
            let mut frame = match self.spares.try_recv() {
                Ok(spare) => spare,
                Err(_) => VideoFrame::black(picture.width, picture.height)?,
            };
            let size = (picture.width, picture.height);
            if let Err(error) = converter.convert(picture.pixels, size, &picture.data, &mut frame) {
                // One that was cut off on its way; the next will do.
                tracing::debug!(%error, "a picture of the camera is left out");
                continue;
            }
            frame.timestamp = self.epoch.elapsed();
            // Full: the encoder is behind.
            let _ = self.pictures.try_send(Ok(frame));
        }
        Ok(())
    }
}

/// Cameras for tests, here and of what keeps them.
#[cfg(test)]
pub(in crate::device) mod fakes {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Brings what it is told to, and tells how many are open and how many pictures they were asked for.
    struct Fake {
        pictures: Receiver<Result<Picture>>,
        counts: Arc<Counts>,
    }

    #[derive(Default)]
    pub(super) struct Counts {
        pub(super) open: AtomicUsize,
        pub(super) asked: AtomicUsize,
    }

    impl Capture for Fake {
        fn picture(&mut self) -> Result<Option<Picture>> {
            self.counts.asked.fetch_add(1, Relaxed);
            self.pictures.recv().unwrap_or_else(|_| Err(ErrorCode::DeviceUnavailable.into())).map(Some)
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            self.counts.open.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn fake() -> (CameraSource, Sender<Result<Picture>>, Arc<Counts>) {
        let (sender, pictures) = bounded(16);
        let counts = Arc::<Counts>::default();
        let counted = counts.clone();
        let opener = move || {
            assert_eq!(counted.open.fetch_add(1, Relaxed), 0, "opened twice");
            Ok(Box::new(Fake { pictures: pictures.clone(), counts: counted.clone() }) as Box<dyn Capture>)
        };
        (CameraSource::new(camera(), FORMAT, Arc::new(opener)), sender, counts)
    }

    const FORMAT: CameraFormat = CameraFormat { pixels: PixelFormat::Yuyv, width: 4, height: 2, fps: 30 };

    fn camera() -> Camera {
        Camera { name: "Fake".into(), id: "9".into() }
    }

    pub(super) fn picture(luma: u8, bytes: usize) -> Result<Picture> {
        let data: Vec<u8> = [luma, 128].into_iter().cycle().take(bytes).collect();
        Ok(Picture { pixels: PixelFormat::Yuyv, width: 4, height: 2, data: data.into() })
    }

    /// Brings so many pictures and then no more, and does not fail either; nothing for `patience` is a stall.
    pub(in crate::device) fn stalls_after(pictures: usize, patience: Duration) -> CameraSource {
        let left = Arc::new(AtomicUsize::new(pictures));
        let opener = move || Ok(Box::new(Stalling(left.clone())) as Box<dyn Capture>);
        let mut source = CameraSource::new(camera(), FORMAT, Arc::new(opener));
        source.patience = patience;
        source
    }

    struct Stalling(Arc<AtomicUsize>);

    impl Capture for Stalling {
        fn picture(&mut self) -> Result<Option<Picture>> {
            std::thread::sleep(Duration::from_millis(5));
            match self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
                Ok(_) => picture(50, 16).map(Some),
                Err(_) => Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fakes::{fake, picture};
    use super::*;

    /// Asks until something comes, 5 s at most.
    fn next(source: &mut CameraSource) -> Result<VideoFrame> {
        let mut frame = VideoFrame::black(2, 2).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            match source.next_frame(&mut frame)? {
                Next::Frame => return Ok(frame),
                Next::Nothing => {}
                Next::Ended => break,
            }
        }
        panic!("nothing came");
    }

    fn until(what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn pictures_come_converted_with_growing_timestamps_and_one_cut_off_is_left_out() {
        let (mut source, camera, _) = fake();
        camera.send(picture(50, 16)).unwrap();
        let first = next(&mut source).unwrap();
        assert_eq!((first.width(), first.height(), first.planes()[0][0]), (4, 2, 50));
        camera.send(picture(60, 15)).unwrap();
        camera.send(picture(70, 16)).unwrap();
        let second = next(&mut source).unwrap();
        assert_eq!(second.planes()[0][0], 70);
        assert!(second.timestamp > first.timestamp);
    }

    #[test]
    fn a_camera_is_open_only_while_pictures_are_wanted() {
        let (mut source, camera, counts) = fake();
        assert_eq!(counts.open.load(Relaxed), 0);
        camera.send(picture(50, 16)).unwrap();
        next(&mut source).unwrap();
        assert_eq!(counts.open.load(Relaxed), 1);
        // Its thread may still be about to ask for the next one: paused then, it would end without taking it.
        until("the second question for a picture", || counts.asked.load(Relaxed) == 2);
        source.pause();
        // The one that it waits for.
        camera.send(picture(60, 16)).unwrap();
        until("the camera's end", || counts.open.load(Relaxed) == 0);
        source.resume();
        camera.send(picture(70, 16)).unwrap();
        assert_eq!(next(&mut source).unwrap().planes()[0][0], 70, "what came before the pause is not shown after it");
    }

    #[test]
    fn a_camera_that_is_unplugged_is_an_error_that_names_it() {
        let (mut source, camera, _) = fake();
        camera.send(picture(50, 16)).unwrap();
        next(&mut source).unwrap();
        camera.send(Err(Error::new(ErrorCode::DeviceUnavailable, "Fake cannot be used: no such device"))).unwrap();
        assert_eq!(next(&mut source).unwrap_err().message(), "Fake cannot be used: no such device");
    }

    #[test]
    fn a_camera_that_stalls_is_an_error_and_not_a_frozen_picture() {
        let (mut source, camera, _) = fake();
        camera.send(picture(50, 16)).unwrap();
        next(&mut source).unwrap();
        source.last -= STALLED;
        let error = next(&mut source).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeviceUnavailable);
        assert!(error.message().contains("Fake brings no pictures"), "{error}");
        drop(camera);
    }
}
