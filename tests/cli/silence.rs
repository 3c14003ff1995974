//! What is sent while nobody talks.

use super::{Trill, server};

#[test]
fn with_dtx_next_to_nothing_is_sent_while_nobody_talks() {
    let server = server();
    let silence = server.folder.path().join("silence.wav");
    let sample_format = hound::SampleFormat::Int;
    let spec = hound::WavSpec { channels: 1, sample_rate: 48_000, bits_per_sample: 16, sample_format };
    let mut file = hound::WavWriter::create(&silence, spec).unwrap();
    (0..48_000).for_each(|_| file.write_sample(0_i16).unwrap());
    file.finalize().unwrap();
    let media = ["--mic", silence.to_str().unwrap(), "--speaker", "none"];
    let me = |uid: &'static str| ["--dev", "--as", uid, "--server", server.url.as_str(), "--json"];
    let bob = Trill::start(&[&["answer"], &me("bob")[..], &media].concat());
    bob.wait_for("logged_in");
    let alice = Trill::start(&[&["call", "bob", "--dtx"], &me("alice")[..], &media].concat());

    // Bob's silence is 50 packets a second, and alice's some five.
    let mut bobs = (0..60).filter_map(|_| alice.received().first().copied());
    let of_bob = bobs.find(|packets| *packets > 200).expect("bob is received");
    // What was told before then does not count.
    while bob.lines.try_recv().is_ok() {}
    let mut alices = (0..30).filter_map(|_| bob.received().first().copied());
    let of_alice = alices.find(|packets| *packets > 0).expect("alice is received");
    assert!(of_alice * 2 < of_bob, "{of_alice} packets of alice's, {of_bob} of bob's");
}
