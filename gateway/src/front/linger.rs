//! Closing a connection whose client still sends: the sending side is closed first and what arrives is
//! thrown away for a while, because closing at once would reset the connection and with it the answer.

use std::{future::poll_fn, io, task::ready, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::connection::{Place, Transport};

/// How long the client may take to notice.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How much of what it sends is thrown away before it is cut off: many clients look for an answer only when
/// they have sent everything, and their people would see a broken pipe where a 413 was given.
pub(crate) const LINGER_BYTES: usize = 256 << 20;

/// Sends `output`, closes the sending side, and reads the rest away in the background. The connection counts
/// as open until then: `place` is given back afterwards.
pub(super) fn spawn(transport: Transport, output: BytesMut, place: Option<Place>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let _until_closed = place;
            // The client has gone, or is too slow: nothing is left to be done for it.
            let _cut_off = tokio::time::timeout(LINGER, close(transport, output)).await;
        });
    }
}

async fn close(mut transport: Transport, mut output: BytesMut) -> io::Result<()> {
    while !output.is_empty() {
        let sent = poll_fn(|context| transport.poll_write(context, &output)).await?;
        if sent == 0 {
            return Ok(());
        }
        output.advance(sent);
    }
    poll_fn(|context| transport.poll_shutdown(context)).await?;
    let mut space = [0; 8192];
    let mut read = 0;
    while read < LINGER_BYTES {
        let count = poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(transport.poll_read(context, &mut buffer))?;
            io::Result::Ok(buffer.filled().len()).into()
        })
        .await?;
        if count == 0 {
            break;
        }
        read += count;
    }
    Ok(())
}
