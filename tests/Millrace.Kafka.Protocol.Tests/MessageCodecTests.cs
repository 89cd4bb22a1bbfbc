namespace Millrace.Kafka.Protocol.Tests;

public class MessageCodecTests
{
    [Fact]
    public void A_client_id_may_be_null()
    {
        FrameBuffer frame = MessageCodec.WriteRequest(new HeartbeatRequest(), version: 4, correlationId: 42, clientId: null);
        Assert.Equal("000C" + "0004" + "0000002A" + "FFFF" + "00", Convert.ToHexString(frame.Payload.Span[..11]));
        Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out RequestHeader header, out _, out string? error), error);
        Assert.Null(header.ClientId);
        Assert.Equal(42, header.CorrelationId);
    }

    [Fact]
    public void A_request_header_that_ends_early_is_an_error_wherever_it_ends()
    {
        FrameBuffer frame = MessageCodec.WriteRequest(new HeartbeatRequest { GroupId = "g", MemberId = "m" }, 4, correlationId: 42, clientId: "client");
        int headerByteCount = 8 + 2 + "client".Length + 1;
        Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload[..headerByteCount], out _, out int bodyStart, out _));
        Assert.Equal(headerByteCount, bodyStart);
        for (int length = 0; length < headerByteCount; length++)
        {
            Assert.False(MessageCodec.TryReadRequestHeader(frame.Payload[..length], out _, out _, out string? error));
            Assert.NotNull(error);
        }
    }

    [Fact]
    public void The_header_of_an_unknown_api_is_readable()
    {
        byte[] payload = Convert.FromHexString("7abc" + "0003" + "00000009" + "0001" + "63" + "ffff");
        Assert.True(MessageCodec.TryReadRequestHeader(payload, out RequestHeader header, out int bodyStart, out _));
        Assert.Equal(new RequestHeader((ApiKey)0x7ABC, 3, 9, "c"), header);
        Assert.Equal(11, bodyStart);
    }

    [Fact]
    public void The_header_of_an_ApiVersions_request_from_the_future_is_readable()
    {
        // Version 9, client id, one tagged field in the header, then a body that nobody knows.
        byte[] payload = Convert.FromHexString("0012" + "0009" + "00000007" + "0001" + "63" + "01" + "00" + "01" + "ee" + "c0ffee");
        Assert.True(MessageCodec.TryReadRequestHeader(payload, out RequestHeader header, out int bodyStart, out string? error), error);
        Assert.Equal(new RequestHeader(ApiKey.ApiVersions, 9, 7, "c"), header);
        Assert.Equal("C0FFEE", Convert.ToHexString(payload.AsSpan(bodyStart)));
    }

    [Fact]
    public void An_ApiVersions_response_has_no_tags_in_its_header_in_any_version()
    {
        for (short version = 0; version <= 4; version++)
        {
            FrameBuffer frame = MessageCodec.WriteResponse(new ApiVersionsResponse { ErrorCode = ErrorCode.UnsupportedVersion }, ApiVersionsRequest.Api, version, 7);
            Assert.Equal("00000007" + "0023", Convert.ToHexString(frame.Payload.Span[..6]));
        }

        FrameBuffer flexible = MessageCodec.WriteResponse(new HeartbeatResponse { ErrorCode = ErrorCode.UnsupportedVersion }, HeartbeatRequest.Api, 4, 7);
        Assert.Equal("0000000C" + "00000007" + "00" + "00000000" + "0023" + "00", Convert.ToHexString(flexible.Bytes.Span));
    }

    [Fact]
    public void An_unsupported_ApiVersions_version_is_answered_with_an_error_in_the_layout_of_version_0()
    {
        // Error 35, then one key: 18, 0 to 4; no throttle time.
        var response = new ApiVersionsResponse { ErrorCode = ErrorCode.UnsupportedVersion, ApiKeys = [new() { Key = ApiKey.ApiVersions, MaxVersion = 4 }] };
        FrameBuffer frame = MessageCodec.WriteResponse(response, ApiVersionsRequest.Api, version: 0, correlationId: 1);
        Assert.Equal("00000010" + "00000001" + "0023" + "00000001" + "0012" + "0000" + "0004", Convert.ToHexString(frame.Bytes.Span));
    }

    [Fact]
    public void A_response_is_read_back_with_its_correlation_id()
    {
        foreach (short version in (short[])[0, 3, 4])
        {
            FrameBuffer frame = MessageCodec.WriteResponse(
                new HeartbeatResponse { ErrorCode = ErrorCode.RebalanceInProgress }, HeartbeatRequest.Api, version, correlationId: -5);
            Assert.True(MessageCodec.TryReadCorrelationId(frame.Payload, out int peeked));
            Assert.True(MessageCodec.TryReadResponse<HeartbeatResponse>(
                frame.Payload, HeartbeatRequest.Api, version, out int correlationId, out HeartbeatResponse? response, out string? error), error);
            Assert.Equal((-5, -5), (peeked, correlationId));
            Assert.Equal(ErrorCode.RebalanceInProgress, response.ErrorCode);
        }
    }

    [Fact]
    public void A_version_that_is_not_defined_is_refused_in_both_directions()
    {
        Assert.Throws<ArgumentException>(() => MessageCodec.WriteRequest(new HeartbeatRequest(), 5, 1, null));
        Assert.Throws<ArgumentException>(() => MessageCodec.WriteResponse(new HeartbeatResponse(), HeartbeatRequest.Api, -1, 1));
        Assert.False(MessageCodec.TryReadRequest<HeartbeatRequest>(new byte[20], 5, out _, out string? error));
        Assert.Equal("Heartbeat version 5 is not one of 0 to 4.", error);
    }

    [Fact]
    public void What_is_wrong_with_a_frame_names_the_message_and_the_version()
    {
        Assert.False(MessageCodec.TryReadRequest<HeartbeatRequest>(new byte[3], 0, out _, out string? error));
        Assert.Equal("HeartbeatRequest version 0, GenerationId at byte 2: needs 4 bytes, 1 remain.", error);
    }

    [Fact]
    public void Bytes_after_a_response_are_an_error()
    {
        byte[] response = [0, 0, 0, 7, 0, 0, 0xEE];
        Assert.True(MessageCodec.TryReadResponse<HeartbeatResponse>(response.AsMemory(..^1), HeartbeatRequest.Api, 0, out _, out _, out _));
        Assert.False(MessageCodec.TryReadResponse<HeartbeatResponse>(response, HeartbeatRequest.Api, 0, out _, out _, out string? error));
        Assert.Equal("HeartbeatResponse version 0, end at byte 2: 1 bytes follow the last field.", error);
    }

    [Fact]
    public void Bytes_after_a_request_are_skipped_as_librdkafka_needs_when_it_asks_for_all_topics()
    {
        // librdkafka 2: null for all topics in four bytes where one is enough, no creation, no authorized operations, no tags.
        byte[] body = [0, 0, 0, 0, 0, 0, 0];

        Assert.True(MessageCodec.TryReadRequest(body, 12, out MetadataRequest? request, out string? error), error);

        Assert.Null(request.Topics);
        Assert.False(request.AllowAutoTopicCreation);
    }

    [Fact]
    public void Records_are_slices_of_the_frame_and_bytes_are_copies()
    {
        var produce = new ProduceRequest { Topics = [new() { Name = "t", Partitions = [new() { Records = new byte[] { 1, 2, 3 } }] }] };
        FrameBuffer frame = MessageCodec.WriteRequest(produce, 7, 1, "c");
        Assert.True(MessageCodec.TryReadRequestHeader(frame.Payload, out _, out int bodyStart, out _));
        Assert.True(MessageCodec.TryReadRequest<ProduceRequest>(frame.Payload[bodyStart..], 7, out ProduceRequest? read, out _));
        frame.Bytes.Span[^1] = 9;
        Assert.Equal([1, 2, 9], read.Topics[0].Partitions[0].Records!.Value.ToArray());

        FrameBuffer join = MessageCodec.WriteRequest(new JoinGroupRequest { Protocols = [new() { Metadata = [1, 2, 3] }] }, 0, 1, "c");
        Assert.True(MessageCodec.TryReadRequestHeader(join.Payload, out _, out bodyStart, out _));
        Assert.True(MessageCodec.TryReadRequest<JoinGroupRequest>(join.Payload[bodyStart..], 0, out JoinGroupRequest? readJoin, out _));
        join.Bytes.Span[^1] = 9;
        Assert.Equal([1, 2, 3], readJoin.Protocols[0].Metadata);
    }

    [Fact]
    public void Writing_a_message_allocates_no_more_than_its_frame()
    {
        var request = new FetchRequest { Topics = [new() { Name = "orders", Partitions = [.. Enumerable.Range(0, 100).Select(index => new FetchPartition { Index = index })] }] };
        long allocated = 0;
        for (int round = 0; round < 5; round++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            MessageCodec.WriteRequest(request, 12, round, "client").Release();
            allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.InRange(allocated, 0, 256);
    }
}
