//! What the SFU does with SDP beside what str0m does: it reads which media section of a publisher's offer carries which
//! track, and takes RED out of the answer for tracks that are to be sent without.
//!
//! str0m negotiates; it keeps no remote `msid`, and that is what ties a section to an `add_track` (by its cid).

use str0m::media::{MediaKind, Mid};

/// The most media sections of one offer that are looked at.
const MAX_SECTIONS: usize = 256;

/// One `m=` section of audio or video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub mid: Mid,
    pub kind: MediaKind,
    /// The offerer sends: `sendonly` or `sendrecv`, and the port is not 0.
    pub sends: bool,
    /// The track id of `a=msid` (RFC 8830).
    pub track: Option<String>,
}

/// The audio and video sections of an offer. Sections without a mid are left out: str0m refuses such offers.
pub(super) fn sections(sdp: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut open: Option<Draft> = None;
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            sections.extend(open.take().and_then(Draft::finish));
            if sections.len() >= MAX_SECTIONS {
                return sections;
            }
            open = Some(Draft::new(media));
        } else if let (Some(draft), Some(attribute)) = (&mut open, line.strip_prefix("a=")) {
            draft.attribute(attribute);
        }
    }
    sections.extend(open.and_then(Draft::finish));
    sections
}

/// The SDP without RED (RFC 2198) in the sections of those mids.
pub(super) fn without_red(sdp: &str, mids: &[Mid]) -> String {
    let (mut written, mut section) = (String::with_capacity(sdp.len()), Vec::new());
    for line in sdp.split_inclusive('\n') {
        if line.starts_with("m=") {
            write_section(&section, mids, &mut written);
            section.clear();
        }
        section.push(line);
    }
    write_section(&section, mids, &mut written);
    written
}

fn write_section(lines: &[&str], mids: &[Mid], written: &mut String) {
    let mid = lines.iter().find_map(|line| line.strip_prefix("a=mid:"));
    let listed = mid.is_some_and(|mid| mids.iter().any(|listed| **listed == *mid.trim()));
    let red = lines.iter().filter(|_| listed).find_map(|line| {
        let (payload_type, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        codec.trim().to_ascii_lowercase().starts_with("red/").then_some(payload_type)
    });
    let Some(red) = red else { return written.extend(lines.iter().copied()) };
    for line in lines {
        if let Some(media) = line.strip_prefix("m=") {
            // Media, port and protocol go before the payload types.
            let words = media.trim_end().split(' ').enumerate().filter(|(n, word)| *n < 3 || *word != red);
            let words: Vec<&str> = words.map(|(_, word)| word).collect();
            *written += &format!("m={}\r\n", words.join(" "));
            continue;
        }
        let of_red = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().any(|attribute| {
            line.strip_prefix(attribute).and_then(|rest| rest.split_once(' ')).is_some_and(|(of, _)| of == red)
        });
        if !of_red {
            *written += line;
        }
    }
}

struct Draft {
    kind: Option<MediaKind>,
    rejected: bool,
    mid: Option<String>,
    sends: bool,
    track: Option<String>,
}

impl Draft {
    fn new(media: &str) -> Self {
        let mut words = media.split(' ');
        let kind = match words.next() {
            Some("audio") => Some(MediaKind::Audio),
            Some("video") => Some(MediaKind::Video),
            _ => None,
        };
        // sendrecv is the default (RFC 8866, section 6.7).
        Self { kind, rejected: words.next() == Some("0"), mid: None, sends: true, track: None }
    }

    fn attribute(&mut self, attribute: &str) {
        match attribute.split_once(':').unwrap_or((attribute, "")) {
            ("mid", mid) => self.mid = Some(mid.trim().to_owned()),
            ("sendonly" | "sendrecv", "") => self.sends = true,
            ("recvonly" | "inactive", "") => self.sends = false,
            ("msid", msid) => self.track = msid.split_whitespace().nth(1).map(str::to_owned).or(self.track.take()),
            // Older writers put the msid on the ssrc lines only.
            ("ssrc", ssrc) if self.track.is_none() => {
                self.track =
                    ssrc.split_once(" msid:").and_then(|(_, msid)| msid.split_whitespace().nth(1)).map(str::to_owned);
            }
            _ => {}
        }
    }

    fn finish(self) -> Option<Section> {
        let mid = self.mid.filter(|mid| mid.is_ascii() && !mid.is_empty() && mid.len() <= 16)?;
        Some(Section {
            mid: Mid::from(mid.as_str()),
            kind: self.kind?,
            sends: self.sends && !self.rejected,
            track: self.track.filter(|track| !track.is_empty() && track.len() <= 256),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_with_their_mid_direction_and_track() {
        let sdp = "v=0\r\na=group:BUNDLE 0 1 2 3\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=sendonly\r\na=msid:- mic-1\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=ssrc:5 msid:stream cam-1\r\n\
            m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\na=sendonly\r\na=msid:- cam-2\r\n";
        let found: Vec<_> = sections(sdp).into_iter().map(|s| (s.mid.to_string(), s.kind, s.sends, s.track)).collect();
        assert_eq!(
            found,
            [
                ("1".into(), MediaKind::Audio, true, Some("mic-1".into())),
                ("2".into(), MediaKind::Video, true, Some("cam-1".into())),
                ("3".into(), MediaKind::Video, false, Some("cam-2".into())),
            ]
        );
    }

    #[test]
    fn red_is_taken_out_of_the_sections_that_are_named() {
        let section = |mid: &str, types: &str, red: &str| {
            format!(
                "m=audio 63 UDP/TLS/RTP/SAVPF {types}\r\na=mid:{mid}\r\na=rtpmap:111 opus/48000/2\r\n{red}a=fmtp:111 x=63\r\n"
            )
        };
        let red = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtcp-fb:63 transport-cc\r\n";
        let sdp = |first: &str, second: &str| format!("v=0\r\n{first}{second}");
        let both = sdp(&section("0", "63 111", red), &section("1", "63 111", red));
        let one = sdp(&section("0", "63 111", red), &section("1", "111", ""));
        assert_eq!(without_red(&both, &[Mid::from("1")]), one);
        assert_eq!(without_red(&both, &[]), both);
        assert_eq!(without_red(&one, &[Mid::from("1"), Mid::from("2")]), one);
    }

    #[test]
    fn an_inactive_section_does_not_send_and_rubbish_is_no_section() {
        let found = sections("m=audio 9 x 111\na=mid:7\na=inactive\nm=audio 9\nm=\na=mid:\n\u{1F600}");
        assert_eq!(found.len(), 1);
        assert!(!found[0].sends);
    }
}
