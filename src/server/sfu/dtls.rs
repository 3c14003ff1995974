//! DTLS with a patience that suits calls.
//!
//! str0m leaves its DTLS at the one second of RFC 6347 before a lost flight is sent again, and two after that. A call is
//! set up in a tenth of it, so that one lost datagram would be heard. Here it is 50 ms and then twice as long each time, as
//! browsers have it: less than RFC 9147 recommends (section 5.8.2), for two datagrams too many where a round trip takes longer.
//! dimpl goes by this timer alone, however often a client repeats itself. On two legs that lose 30 % in bursts of four, with a
//! quarter of a second at first and five repeats, one call in two had no keys within nine seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::config::CryptoProvider;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};

const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// The last leaves after 26 s, more or less; the whole handshake has a little longer. The room has given a client up by then.
const RETRIES: usize = 9;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(40);

/// The AWS-LC cryptography of str0m with our DTLS.
pub(super) fn crypto_provider() -> CryptoProvider {
    CryptoProvider { dtls_provider: &Provider, ..str0m_aws_lc_rs::default_provider() }
}

#[derive(Debug)]
struct Provider;

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m_aws_lc_rs::default_provider().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let mut config = dimpl::Config::builder()
            .with_crypto_provider(str0m_aws_lc_rs::dimpl_crypto_provider())
            // ICE has proven by now that the client is where it says it is.
            .use_server_cookie(false)
            .flight_start_rto(FIRST_INTERVAL)
            .flight_retries(RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT);
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = config.build().map_err(|error| CryptoError::Other(format!("DTLS configuration: {error}")))?;
        let (config, certificate) = (Arc::new(config), certificate.clone());
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

struct Instance(dimpl::Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys are in it.
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
