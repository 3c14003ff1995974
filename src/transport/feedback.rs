//! What receivers report of the tracks that we send: read from the RTCP as it passes, and handed to the pipelines.

use super::codecs;
use super::receive::RemoteTracks;
use super::stage::Stage;
use crate::media::bandwidth::{Demand, share_out};
use crate::media::control::SendControl;
use crate::session::TrackKind;
use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The tracks that we send, by the SSRCs of their layers.
#[derive(Debug, Default)]
pub(super) struct Feedbacks {
    tracks: Mutex<HashMap<u32, Arc<Feedback>>>,
    /// Of all that this connection may send; 0 before there is feedback.
    estimate_bps: AtomicU32,
    queue_micros: AtomicU64,
    /// The estimate is close to what the path was seen to carry.
    is_narrow: AtomicBool,
    /// What the receiver wants at most (REMB), and when it said so.
    wanted: Mutex<Option<(u32, Instant)>>,
}

/// A receiver's limit is over when it was not repeated for this long.
const WANTED_FOR: Duration = Duration::from_secs(5);

/// No receiver can ask for less, in bits a second: a voice with its headers.
const LEAST_WANTED: u32 = 40_000;

/// The redundancy of a voice takes at most such a part of the estimate: on a narrow link it would cost more than it saves.
const REDUNDANCY_PART: u32 = 8;

impl Feedbacks {
    pub(super) fn insert(&self, ssrc: u32, feedback: Arc<Feedback>) {
        self.tracks().insert(ssrc, feedback);
    }

    pub(super) fn remove(&self, ssrc: u32) {
        self.tracks().remove(&ssrc);
    }

    pub(super) fn set_narrow(&self, is_narrow: bool) {
        self.is_narrow.store(is_narrow, Relaxed);
    }

    /// Tells each track what it may send of that estimate.
    pub(super) fn share_out(&self, now: Instant, estimate_bps: u32, queue: Duration) {
        self.estimate_bps.store(estimate_bps, Relaxed);
        self.queue_micros.store(queue.as_micros() as u64, Relaxed);
        let wanted = *self.wanted();
        let wanted = wanted.filter(|(_, at)| now.saturating_duration_since(*at) < WANTED_FOR);
        let is_narrow = self.is_narrow.load(Relaxed) || wanted.is_some_and(|(bps, _)| bps <= estimate_bps);
        let estimate_bps = estimate_bps.min(wanted.map_or(u32::MAX, |(bps, _)| bps));
        let tracks = self.tracks();
        // A track's layers share what it gets among themselves.
        let is_sent = |track: &&Feedback| track.layer == 0 && !track.control.is_muted();
        let sent: Vec<&Feedback> = tracks.values().map(Arc::as_ref).filter(is_sent).collect();
        let redundancy: u32 = sent.iter().map(|track| track.limit_redundancy(estimate_bps)).sum();
        let estimate_bps = estimate_bps.saturating_sub(redundancy);
        let demands: Vec<Demand> = sent.iter().map(|track| track.demand()).collect();
        for (track, bps) in sent.iter().zip(share_out(estimate_bps, &demands)) {
            track.control.limit_bitrate(bps);
            track.control.set_pace(if is_narrow { track.control.bitrate_bps() } else { 0 });
        }
    }

    /// The receiver wants no more than that of all tracks.
    fn wants(&self, now: Instant, bps: f32) {
        // A float becomes the nearest integer that there is.
        *self.wanted() = Some(((bps as u32).max(LEAST_WANTED), now));
        if let Some((estimate, queue)) = self.path() {
            self.share_out(now, estimate, queue);
        }
    }

    /// What the path carries, and how long packets wait in its queue. `None` before there was feedback.
    pub(super) fn path(&self) -> Option<(u32, Duration)> {
        let estimate = self.estimate_bps.load(Relaxed);
        (estimate > 0).then(|| (estimate, Duration::from_micros(self.queue_micros.load(Relaxed))))
    }

    /// To the receiver of that stream and back, by its latest report.
    pub(super) fn round_trip(&self, ssrc: u32) -> Option<Duration> {
        let micros = self.of(ssrc)?.rtt_micros.load(Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros))
    }

    fn of(&self, ssrc: u32) -> Option<Arc<Feedback>> {
        self.tracks().get(&ssrc).cloned()
    }

    fn wanted(&self) -> MutexGuard<'_, Option<(u32, Instant)>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tracks(&self) -> MutexGuard<'_, HashMap<u32, Arc<Feedback>>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of one layer of a track of ours at its receiver.
#[derive(Debug)]
pub(super) struct Feedback {
    control: Arc<SendControl>,
    kind: TrackKind,
    /// 0 is the lowest, or the only one.
    layer: usize,
    pub(super) lost: AtomicU32,
    /// Smoothed, 0-100.
    pub(super) loss_percent: AtomicU8,
    pub(super) jitter_micros: AtomicU64,
    /// 0 until measured.
    pub(super) rtt_micros: AtomicU64,
    pub(super) key_frame_requests: AtomicU64,
    pub(super) nacked: AtomicU64,
}

impl Feedback {
    pub(super) fn new(control: Arc<SendControl>, kind: TrackKind, layer: usize) -> Self {
        Self {
            control,
            kind,
            layer,
            lost: AtomicU32::new(0),
            loss_percent: AtomicU8::new(0),
            jitter_micros: AtomicU64::new(0),
            rtt_micros: AtomicU64::new(0),
            key_frame_requests: AtomicU64::new(0),
            nacked: AtomicU64::new(0),
        }
    }

    fn demand(&self) -> Demand {
        match self.kind {
            TrackKind::Audio => Demand::Audio(self.control.max_bitrate_bps()),
            TrackKind::Video => Demand::Video(self.control.max_bitrate_bps()),
        }
    }

    /// Leaves room for as much redundancy as takes a small part of the estimate. What it takes, in bits a second.
    fn limit_redundancy(&self, estimate_bps: u32) -> u32 {
        if self.kind == TrackKind::Video {
            return 0;
        }
        let each = self.control.max_bitrate_bps().max(1);
        self.control.limit_redundancy((estimate_bps / REDUNDANCY_PART / each).min(u8::MAX.into()) as u8);
        self.control.redundancy() as u32 * each
    }

    pub(super) fn takes_red(&self, takes: bool) {
        self.control.set_takes_red(takes);
    }

    fn key_frame_requested(&self) {
        self.key_frame_requests.fetch_add(1, Relaxed);
        self.control.request_layer_key_frame(self.layer);
    }

    fn report(&self, report: &ReceptionReport, rtt: Option<Duration>) {
        self.lost.store(report.total_lost, Relaxed);
        self.jitter_micros
            .store(u64::from(report.jitter) * 1_000_000 / u64::from(codecs::clock_rate(self.kind)), Relaxed);
        if let Some(rtt) = rtt {
            self.rtt_micros.store((rtt.as_micros() as u64).max(1), Relaxed);
        }
        // Up at once, down slowly: FEC that is switched off between two bursts helps nobody.
        let now = u32::from(report.fraction_lost) * 100 / 256;
        let before = u32::from(self.loss_percent.load(Relaxed));
        let percent = if now >= before { now } else { (before * 3 + now) / 4 };
        self.loss_percent.store(percent as u8, Relaxed);
        self.control.set_loss_percent(percent as u8);
    }
}

/// Sender reports whose answers are awaited, for all tracks of one connection.
const SENT_REPORTS: usize = 64;

/// Sits next to the wire, reads RTCP both ways, changes nothing.
pub(super) struct FeedbackTap {
    feedbacks: Arc<Feedbacks>,
    remote_tracks: RemoteTracks,
    /// The middle 32 bits of the NTP time of sender reports, and when they left.
    sent: VecDeque<(u32, Instant)>,
}

impl FeedbackTap {
    pub(super) fn new(feedbacks: Arc<Feedbacks>, remote_tracks: RemoteTracks) -> Self {
        Self { feedbacks, remote_tracks, sent: VecDeque::new() }
    }

    fn reported(&self, packet: &dyn rtc::rtcp::Packet, now: Instant) {
        let packet = packet.as_any();
        if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
            if let Some(feedback) = self.feedbacks.of(pli.media_ssrc) {
                feedback.key_frame_requested();
            }
        } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
            for entry in &fir.fir {
                if let Some(feedback) = self.feedbacks.of(entry.ssrc) {
                    feedback.key_frame_requested();
                }
            }
        } else if let Some(remb) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.feedbacks.wants(now, remb.bitrate);
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            self.read_blocks(&report.reports, now);
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            self.remote_tracks.reported(report.ssrc, report.ntp_time, report.rtp_time);
            self.read_blocks(&report.reports, now);
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>()
            && let Some(feedback) = self.feedbacks.of(nack.media_ssrc)
        {
            let packets: usize = nack.nacks.iter().map(|pair| 1 + pair.lost_packets.count_ones() as usize).sum();
            feedback.nacked.fetch_add(packets as u64, Relaxed);
        }
    }

    fn read_blocks(&self, blocks: &[ReceptionReport], now: Instant) {
        for block in blocks {
            if let Some(feedback) = self.feedbacks.of(block.ssrc) {
                feedback.report(block, self.round_trip(block, now));
            }
        }
    }

    /// RFC 3550 section 6.4.1, by our own clock: both ends of the interval were seen here.
    fn round_trip(&self, block: &ReceptionReport, now: Instant) -> Option<Duration> {
        if block.last_sender_report == 0 {
            return None;
        }
        let (_, sent) = self.sent.iter().rev().find(|(id, _)| *id == block.last_sender_report)?;
        let held = Duration::from_secs(u64::from(block.delay)) / 65_536;
        Some(now.saturating_duration_since(*sent).saturating_sub(held))
    }
}

impl Stage for FeedbackTap {
    fn read(&mut self, packet: &mut TaggedPacket, _: &mut VecDeque<TaggedPacket>) -> bool {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            packets.iter().for_each(|report| self.reported(report.as_ref(), packet.now));
        }
        true
    }

    fn write(&mut self, packet: &mut TaggedPacket) {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            for report in packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>()) {
                if self.sent.len() == SENT_REPORTS {
                    self.sent.pop_front();
                }
                self.sent.push_back(((report.ntp_time >> 16) as u32, packet.now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Staged;
    use super::*;
    use rtc::interceptor::AttributedPacket;
    use rtc::sansio::Protocol;

    fn tap() -> (Staged<FeedbackTap>, Arc<Feedback>, Arc<SendControl>) {
        let control = Arc::new(SendControl::new(0));
        let feedback = Arc::new(Feedback::new(control.clone(), TrackKind::Audio, 0));
        let feedbacks = Arc::new(Feedbacks::default());
        feedbacks.insert(7, feedback.clone());
        (Staged::new(FeedbackTap::new(feedbacks, RemoteTracks::default())), feedback, control)
    }

    fn rtcp(packet: impl rtc::rtcp::Packet + 'static, now: Instant) -> TaggedPacket {
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)]));
        TaggedPacket { now, transport: Default::default(), message }
    }

    #[test]
    fn an_estimate_is_shared_by_what_is_sent_now() {
        let feedbacks = Feedbacks::default();
        let controls = [48_000, 1_500_000, 1_500_000].map(|bps| Arc::new(SendControl::new(bps)));
        let kinds = [TrackKind::Audio, TrackKind::Video, TrackKind::Video];
        for (ssrc, (control, kind)) in controls.iter().zip(kinds).enumerate() {
            feedbacks.insert(ssrc as u32, Arc::new(Feedback::new(control.clone(), kind, 0)));
        }
        assert_eq!(feedbacks.path(), None);
        controls[2].set_muted(true);
        let now = Instant::now();
        feedbacks.share_out(now, 500_000, Duration::from_millis(7));
        assert_eq!(controls[0].bitrate_bps(), 48_000);
        assert!((350_000..450_000).contains(&controls[1].bitrate_bps()), "{}", controls[1].bitrate_bps());
        controls[2].set_muted(false);
        feedbacks.share_out(now, 500_000, Duration::ZERO);
        assert_eq!(controls[1].bitrate_bps(), controls[2].bitrate_bps());
        assert!(controls[1].bitrate_bps() < 230_000, "half of it");
        feedbacks.share_out(now, 20_000_000, Duration::ZERO);
        assert_eq!(controls[1].bitrate_bps(), 1_500_000, "what it was set to");
        assert_eq!(feedbacks.path(), Some((20_000_000, Duration::ZERO)));
    }

    #[test]
    fn a_voice_is_repeated_as_far_as_the_path_has_room_and_pictures_make_room() {
        let feedbacks = Feedbacks::default();
        let controls = [32_000, 1_500_000].map(|bps| Arc::new(SendControl::new(bps)));
        for (ssrc, (control, kind)) in controls.iter().zip([TrackKind::Audio, TrackKind::Video]).enumerate() {
            feedbacks.insert(ssrc as u32, Arc::new(Feedback::new(control.clone(), kind, 0)));
        }
        let shares = |estimate, loss| {
            controls[0].set_loss_percent(loss);
            feedbacks.share_out(Instant::now(), estimate, Duration::ZERO);
            (controls[0].redundancy(), controls[0].bitrate_bps(), controls[1].bitrate_bps())
        };
        let (_, _, pictures) = shares(300_000, 10);
        controls[0].set_takes_red(true);
        assert_eq!((shares(2_000_000, 0).0, shares(2_000_000, 10).0), (1, 2));
        let (repeated, voice, less) = shares(300_000, 10);
        assert_eq!((repeated, voice), (1, 32_000));
        assert!((25_000..35_000).contains(&(pictures - less)), "{pictures} and {less}");
        assert_eq!(shares(150_000, 10).0, 0);
    }

    #[test]
    fn what_a_receiver_wants_limits_all_that_is_sent_while_it_says_so() {
        let (mut tap, _, control) = tap();
        control.set_muted(true);
        let video = Arc::new(SendControl::new(1_500_000));
        tap.stage.feedbacks.insert(8, Arc::new(Feedback::new(video.clone(), TrackKind::Video, 0)));
        let start = Instant::now();
        let remb = |bitrate| ReceiverEstimatedMaximumBitrate { bitrate, ssrcs: vec![8], ..Default::default() };
        tap.handle_read(rtcp(remb(300_000.0), start)).unwrap();
        assert_eq!(video.bitrate_bps(), 1_500_000, "nothing is known of the path yet");
        tap.stage.feedbacks.share_out(start, 3_000_000, Duration::ZERO);
        assert!((200_000..300_000).contains(&video.bitrate_bps()), "{}", video.bitrate_bps());
        for nothing in [f32::NAN, -1.0, 0.0] {
            tap.handle_read(rtcp(remb(nothing), start)).unwrap();
            assert!(video.bitrate_bps() > 0 && video.bitrate_bps() < 60_000, "{}", video.bitrate_bps());
        }
        tap.handle_read(rtcp(remb(f32::INFINITY), start)).unwrap();
        assert_eq!(video.bitrate_bps(), 1_500_000);
        tap.handle_read(rtcp(remb(300_000.0), start)).unwrap();
        tap.stage.feedbacks.share_out(start + WANTED_FOR, 3_000_000, Duration::ZERO);
        assert_eq!(video.bitrate_bps(), 1_500_000, "it was said long ago");
    }

    fn report(fraction_lost: u8, last_sender_report: u32, delay: u32) -> ReceiverReport {
        let block = ReceptionReport { ssrc: 7, fraction_lost, last_sender_report, delay, ..Default::default() };
        ReceiverReport { reports: vec![block], ..Default::default() }
    }

    #[test]
    fn a_picture_loss_of_our_track_asks_its_encoder_for_a_key_frame() {
        let (mut tap, feedback, control) = tap();
        let pli = |media_ssrc| PictureLossIndication { sender_ssrc: 0, media_ssrc };
        tap.handle_read(rtcp(pli(8), Instant::now())).unwrap();
        assert!(!control.take_key_frame_request(), "that was another track");
        tap.handle_read(rtcp(pli(7), Instant::now())).unwrap();
        assert!(control.take_key_frame_request());
        assert_eq!(feedback.key_frame_requests.load(Relaxed), 1);
        assert!(tap.poll_read().is_some(), "the packet goes on to the others");
    }

    #[test]
    fn the_layers_of_a_track_share_what_it_gets_and_are_asked_for_key_frames_one_by_one() {
        let (mut tap, ..) = tap();
        let layered = Arc::new(SendControl::new(1_500_000));
        let plain = Arc::new(SendControl::new(1_500_000));
        for layer in 0..3 {
            let feedback = Arc::new(Feedback::new(layered.clone(), TrackKind::Video, layer));
            tap.stage.feedbacks.insert(10 + layer as u32, feedback);
        }
        tap.stage.feedbacks.insert(20, Arc::new(Feedback::new(plain.clone(), TrackKind::Video, 0)));
        tap.stage.feedbacks.share_out(Instant::now(), 1_000_000, Duration::ZERO);
        assert_eq!(layered.bitrate_bps(), plain.bitrate_bps());
        let pli = PictureLossIndication { sender_ssrc: 0, media_ssrc: 11 };
        tap.handle_read(rtcp(pli, Instant::now())).unwrap();
        assert_eq!((layered.take_key_frame_requests(), plain.take_key_frame_requests()), (0b010, 0));
    }

    #[test]
    fn loss_is_believed_at_once_and_forgotten_slowly() {
        let (mut tap, _, control) = tap();
        tap.handle_read(rtcp(report(64, 0, 0), Instant::now())).unwrap();
        assert_eq!(control.loss_percent(), 25);
        tap.handle_read(rtcp(report(0, 0, 0), Instant::now())).unwrap();
        assert_eq!(control.loss_percent(), 18);
    }

    #[test]
    fn the_round_trip_leaves_out_what_the_receiver_held() {
        let (mut tap, feedback, _) = tap();
        let start = Instant::now();
        let sent = SenderReport { ssrc: 7, ntp_time: 0x0000_1234_5678_0000, ..Default::default() };
        tap.handle_write(rtcp(sent, start)).unwrap();
        let answer = rtcp(report(0, 0x1234_5678, 65_536 / 2), start + Duration::from_millis(550));
        tap.handle_read(answer).unwrap();
        assert_eq!(feedback.rtt_micros.load(Relaxed), 50_000);
    }
}
