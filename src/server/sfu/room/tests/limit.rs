//! A camera that comes in one size, and viewers whose links carry less than it sends.

use super::SECOND;
use super::kit::Net;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{TrackSource, VideoLayer, VideoQuality};
use std::time::Duration;
use str0m::media::{Mid, Rid};

const FRAME: Duration = Duration::from_millis(33);
const PACKET: usize = 1000;

/// Sends as much as it was asked to at most, as browsers do, and no more than 1.5 Mbit/s.
struct Camera {
    client: usize,
    mid: Mid,
    /// Of its only layer, where it could send several.
    rid: Option<Rid>,
    frame: u64,
    sequence: u64,
    obeys: bool,
    /// Bits that may be sent.
    credit: f64,
}

impl Camera {
    fn run(&mut self, net: &mut Net, time: Duration) {
        let end = net.now + time;
        while net.now < end {
            let asked = net.clients[self.client].asked_to_send.last().copied().filter(|_| self.obeys);
            self.credit += asked.unwrap_or(u64::MAX).min(1_500_000) as f64 * FRAME.as_secs_f64();
            let key_frame = net.clients[self.client].key_frames_due.remove(&self.rid) || self.frame == 0;
            let mut first = true;
            while self.credit > 0.0 {
                let mut payload = vec![0; PACKET];
                let begins = if first { 0x90 } else { 0x80 };
                let inter = u8::from(!(key_frame && first));
                payload[..5].copy_from_slice(&[begins, 0x80, 0x80 | (self.frame >> 8) as u8, self.frame as u8, inter]);
                self.sequence += 1;
                let stream = (self.mid, self.rid);
                net.send_layer(self.client, stream, self.sequence, self.frame as u32 * 3000, &payload);
                self.credit -= (PACKET + 60) as f64 * 8.0;
                first = false;
            }
            self.frame += 1;
            net.run(FRAME);
        }
    }
}

fn watched(viewers: &[&str]) -> (Net, Camera, Vec<usize>) {
    watched_in(viewers, &[])
}

/// It could send those layers, and sends the last one.
fn watched_in(viewers: &[&str], layers: &[VideoLayer]) -> (Net, Camera, Vec<usize>) {
    let mut net = Net::new();
    let client = net.join("anna");
    let viewers: Vec<_> = viewers.iter().map(|name| net.join(name)).collect();
    let mid = net.publish_layers(client, TrackSource::Camera, layers);
    let rid = layers.last().map(|layer| Rid::from(layer.rid.as_str()));
    net.run_until("the connections", |net| net.clients.iter().all(|client| client.is_connected()));
    net.run(SECOND);
    (net, Camera { client, mid, rid, frame: 0, sequence: 1000, obeys: true, credit: 0.0 }, viewers)
}

/// What a client gets in two seconds, in kbit/s, and how many packets were missing of it.
fn received(net: &mut Net, camera: &mut Camera, client: usize) -> (usize, usize) {
    net.clients[client].received.clear();
    camera.run(net, SECOND * 2);
    let packets = &net.clients[client].received;
    let mut numbers: Vec<u64> = packets.iter().map(|packet| *packet.seq_no).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let span = numbers.last().unwrap_or(&0) - numbers.first().unwrap_or(&0) + 1;
    (numbers.len() * PACKET * 8 / 2000, span as usize - numbers.len())
}

fn was_paused(net: &Net, client: usize) -> bool {
    let paused = |message: &Response| matches!(message, Response::StreamStateUpdate(_)).then_some(());
    !net.clients[client].heard(paused).is_empty()
}

#[test]
fn a_picture_of_one_layer_gets_smaller_for_a_narrow_link_and_larger_again() {
    smaller_and_larger(watched(&["ben"]));
}

/// As our engine sends it between two.
#[test]
fn so_does_one_whose_publisher_could_send_layers_and_sends_the_whole_picture_alone() {
    let layer = |(rid, quality): (&str, VideoQuality)| VideoLayer {
        quality: quality as i32,
        rid: rid.to_owned(),
        ..Default::default()
    };
    let layers = [("q", VideoQuality::Low), ("h", VideoQuality::Medium), ("f", VideoQuality::High)].map(layer);
    smaller_and_larger(watched_in(&["ben"], &layers));
}

fn smaller_and_larger((mut net, mut camera, viewers): (Net, Camera, Vec<usize>)) {
    let (anna, ben) = (camera.client, viewers[0]);
    camera.run(&mut net, SECOND * 8);
    let (wide, _) = received(&mut net, &mut camera, ben);
    assert!(wide > 1300, "{wide} kbit/s");

    net.limit(ben, 400_000);
    camera.run(&mut net, SECOND * 6);
    // More is tried now and then, and some of that is lost.
    let (mut sum, mut lost) = (0, 0);
    for _ in 0..15 {
        let (rate, missing) = received(&mut net, &mut camera, ben);
        assert!(rate > 60, "{rate} kbit/s; asked for {:?}", net.clients[anna].asked_to_send);
        (sum, lost) = (sum + rate, lost + missing);
    }
    println!("figure: a link of 400 kbit/s: {} kbit/s of pictures in half a minute, {lost} packets lost", sum / 15);
    assert!(sum / 15 > 230, "{} kbit/s", sum / 15);
    assert!(lost < 120, "{lost} packets");

    net.limit(ben, 5_000_000);
    camera.run(&mut net, SECOND * 8);
    let (wide, _) = received(&mut net, &mut camera, ben);
    assert!(wide > 1300, "{wide} kbit/s; asked for {:?}", net.clients[anna].asked_to_send);
    assert!(!was_paused(&net, ben));
}

#[test]
fn on_links_that_carry_everything_nobody_is_asked_to_send_less() {
    let (mut net, mut camera, _) = watched(&["ben", "carl"]);
    camera.run(&mut net, SECOND * 8);
    net.clients[camera.client].asked_to_send.clear();
    camera.run(&mut net, SECOND * 10);
    let asked = &net.clients[camera.client].asked_to_send;
    assert!(asked.iter().all(|bps| *bps > 1_400_000), "{asked:?}");
}

#[test]
fn a_publisher_that_does_not_follow_is_paused_for_the_narrow_link_only() {
    let (mut net, mut camera, viewers) = watched(&["ben", "carl"]);
    camera.obeys = false;
    net.limit(viewers[1], 200_000);
    camera.run(&mut net, SECOND * 12);
    assert!(was_paused(&net, viewers[1]) && !was_paused(&net, viewers[0]));
    let (wide, _) = received(&mut net, &mut camera, viewers[0]);
    assert!(wide > 1300, "{wide} kbit/s");
}
