//! Sans-IO audio: RTP and RTCP, G.711, telephone events, SDP and offer/answer.
