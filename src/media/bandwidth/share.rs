//! Who gets what of the estimate: voices first.

/// Headers of a voice's 50 packets a second in bit/s: IP 20, UDP 8, RTP 12 and its extensions 12, SRTP 10 bytes.
const AUDIO_HEADERS_BPS: u32 = 50 * 62 * 8;
/// Of what is left, so much goes into pictures; the rest are their headers, and packets that are sent again.
const VIDEO_PART: f64 = 0.92;
/// Less than this serves nobody, in bit/s.
const MIN_AUDIO_BPS: u32 = 12_000;
const MIN_VIDEO_BPS: u32 = 30_000;

/// A track that is sent now, and what it was set to in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    Audio(u32),
    Video(u32),
}

/// What each may send in bit/s, in the same order: at least the least that serves, and at most what it was set to.
pub fn share_out(target_bps: u32, demands: &[Demand]) -> Vec<u32> {
    let asked = |of: fn(&Demand) -> Option<u32>| demands.iter().filter_map(of).map(f64::from).sum::<f64>();
    let audio = asked(|demand| if let Demand::Audio(bps) = demand { Some(*bps) } else { None });
    let video = asked(|demand| if let Demand::Video(bps) = demand { Some(*bps) } else { None });
    let voices = demands.iter().filter(|demand| matches!(demand, Demand::Audio(_))).count() as u32;
    let headers = f64::from(voices * AUDIO_HEADERS_BPS);
    let target = f64::from(target_bps);
    // Where there is little, pictures still get a third of it: a voice at half of its bitrate is understood.
    let for_audio = if video > 0.0 { (target * 2.0 / 3.0 - headers).min(audio) } else { (target - headers).min(audio) };
    let for_audio = for_audio.max(0.0);
    let for_video = (target - headers - for_audio).max(0.0) * VIDEO_PART;
    let part = |asked: u32, all: f64, given: f64, least: u32| {
        ((f64::from(asked) * given / all.max(1.0)) as u32).clamp(least.min(asked), asked)
    };
    demands
        .iter()
        .map(|demand| match demand {
            Demand::Audio(asked) => part(*asked, audio, for_audio, MIN_AUDIO_BPS),
            Demand::Video(asked) => part(*asked, video, for_video, MIN_VIDEO_BPS),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_has_its_bitrate_before_pictures_have_theirs() {
        let demands = [Demand::Audio(32_000), Demand::Video(1_500_000)];
        assert_eq!(share_out(5_000_000, &demands), [32_000, 1_500_000]);
        let [audio, video] = share_out(300_000, &demands)[..] else { panic!() };
        assert_eq!(audio, 32_000);
        assert!((200_000..250_000).contains(&video), "{video}");
        let [audio, video] = share_out(60_000, &demands)[..] else { panic!() };
        assert!((12_000..20_000).contains(&audio), "{audio}");
        assert_eq!(video, 30_000);
    }

    #[test]
    fn several_pictures_share_by_what_they_were_set_to() {
        let shares = share_out(1_000_000, &[Demand::Video(500_000), Demand::Video(1_500_000)]);
        assert_eq!(shares[1] / shares[0], 3);
        assert!(shares.iter().sum::<u32>() < 1_000_000);
    }

    #[test]
    fn a_voice_alone_has_all() {
        assert_eq!(share_out(60_000, &[Demand::Audio(32_000)]), [32_000]);
        assert_eq!(share_out(45_000, &[Demand::Audio(32_000)]), [45_000 - 24_800]);
        assert_eq!(share_out(0, &[Demand::Audio(32_000), Demand::Audio(8_000)]), [12_000, 8_000]);
        assert!(share_out(1_000, &[]).is_empty());
    }
}
