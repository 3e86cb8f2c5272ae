//! Bodies whole, in pieces of every size, and broken in every way known.

use super::*;

/// Data, trailers, and what was left unread.
type Read = (Vec<u8>, Vec<String>, Vec<u8>);

/// Feeds `wire` in pieces of `step` bytes.
fn decoded(mut decoder: Decoder, wire: &[u8], step: usize) -> Result<Read, Malformed> {
    let (mut read, mut data, mut fields) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in wire.chunks(step) {
        read.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut read)? {
            match frame.into_data() {
                Ok(piece) => data.extend_from_slice(&piece),
                Err(frame) => fields.extend(
                    frame
                        .into_trailers()
                        .unwrap()
                        .iter()
                        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())),
                ),
            }
        }
    }
    if !decoder.is_done() && decoder != Decoder::ToClose {
        return Err(Malformed("not at its end"));
    }
    Ok((data, fields, read.to_vec()))
}

#[test]
fn a_length_takes_so_many_bytes_and_no_more() {
    for step in 1..9 {
        let (data, _, left) = decoded(Decoder::Length(5), b"hellomore", step).unwrap();
        assert_eq!((data.as_slice(), left.as_slice()), (&b"hello"[..], &b"more"[..]));
    }
}

#[test]
fn chunks_are_joined_whatever_the_reads_are() {
    let wire = b"5\r\nhello\r\n1;a=\"b\"\r\n \r\n0005 \t;x\r\nworld\r\n0\r\nX-Sum: 7\r\nb:2\r\n\r\nnext";
    for step in 1..wire.len() {
        let (data, fields, left) = decoded(Decoder::chunked(), wire, step).unwrap();
        assert_eq!(data, b"hello world", "{step}");
        assert_eq!(fields, ["x-sum: 7", "b: 2"], "{step}");
        assert_eq!(left, b"next", "{step}");
    }
}

#[test]
fn without_length_all_until_the_end_is_body() {
    assert_eq!(decoded(Decoder::ToClose, b"anything\r\n0\r\n\r\n", 4).unwrap().0, b"anything\r\n0\r\n\r\n");
}

#[test]
fn broken_chunks_are_told() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(MAX_OVERHEAD + 1));
    let endless = format!("1;{}", "x".repeat(2 * MAX_OVERHEAD));
    let many = format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(1000)).repeat(20));
    let trailers = format!("0\r\n{}", "a: b\r\n".repeat(10_000));
    for wire in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\n",
        ";x\r\n",
        "11111111111111111\r\n",
        "5\r\nhello\r\n0\r\nno field\r\n\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\rx\nhello\r\n",
        long.as_str(),
        endless.as_str(),
        many.as_str(),
        trailers.as_str(),
    ] {
        for step in [1, 3, wire.len()] {
            assert!(decoded(Decoder::chunked(), wire.as_bytes(), step).is_err(), "{:.40}", wire);
        }
    }
}

#[test]
fn trailers_end_in_carriage_return_and_line_feed_only() {
    for end in ["\n", "a: b\n\r\n", "a: b\r\n\n", "a: b\nc: d\r\n\r\n"] {
        let wire = format!("2\r\nab\r\n0\r\n{end}GET /smuggled HTTP/1.1\r\n\r\n");
        for step in [1, 3, wire.len()] {
            assert!(decoded(Decoder::chunked(), wire.as_bytes(), step).is_err(), "{end:?}");
        }
    }
}
