namespace Millrace.Kafka.Protocol.Tests;

public class MalformedTests
{
    public static TheoryData<string> MessageNames => [.. KnownMessages.All.Select(message => message.Name)];

    [Theory]
    [MemberData(nameof(MessageNames))]
    public void A_message_that_ends_early_is_an_error_wherever_it_ends(string name)
    {
        KnownMessage known = KnownMessages.Named(name);
        foreach ((string _, string _, short version, byte[]? bytes) in KafkaDefinitions.Bytes.Where(golden => golden.Message == name))
        {
            for (int length = 0; length < bytes.Length; length++)
            {
                Assert.Null(known.TryRead(bytes.AsMemory(0, length), version, out string? error));
                Assert.Matches(@"^.+ at byte \d+: .+\.$", error);
            }
        }
    }

    [Theory]
    [MemberData(nameof(MessageNames))]
    public void Bytes_after_the_last_field_are_an_error(string name)
    {
        KnownMessage known = KnownMessages.Named(name);
        foreach ((string _, string _, short version, byte[]? bytes) in KafkaDefinitions.Bytes.Where(golden => golden.Message == name))
        {
            Assert.Null(known.TryRead((byte[])[.. bytes, 0], version, out string? error));
            Assert.Equal($"end at byte {bytes.Length}: 1 bytes follow the last field.", error);
        }
    }

    [Theory]
    [InlineData("MetadataRequest", 0, "7fffffff", "Topics at byte 4: claims 2147483647 items of at least 1 bytes, 0 bytes remain.")]
    [InlineData("MetadataRequest", 0, "ffffffff", "Topics at byte 4: is null, which this version does not allow.")]
    [InlineData("MetadataRequest", 0, "fffffffe", "Topics at byte 4: has the length -2.")]
    [InlineData("MetadataRequest", 0, "00000001" + "7fff", "Topics[0].Name at byte 6: claims 32767 items of at least 1 bytes, 0 bytes remain.")]
    [InlineData("MetadataRequest", 0, "00000001" + "ffff", "Topics[0].Name at byte 6: is null, which this version does not allow.")]
    [InlineData("MetadataRequest", 9, "ffffffff0f", "Topics at byte 5: claims 4294967294 items of at least 1 bytes, 0 bytes remain.")]
    [InlineData("MetadataRequest", 9, "ffffffff1f", "Topics at byte 0: a variable-length number has more than 32 bits.")]
    [InlineData("MetadataRequest", 9, "ffffffff", "Topics at byte 0: the bytes end inside of a variable-length number.")]
    [InlineData("MetadataRequest", 9, "00" + "00" + "00" + "00" + "05", "tagged fields at byte 5: claims 5 fields, 0 bytes remain.")]
    [InlineData("MetadataRequest", 9, "00" + "00" + "00" + "00" + "01" + "00" + "09" + "00", "tag 0 at byte 7: claims 9 bytes, 1 remain.")]
    [InlineData("ProduceRequest", 0, "0001" + "00000000" + "00000001" + "000161" + "00000001" + "00000000" + "7fffffff",
        "Topics[0].Partitions[0].Records at byte 25: claims 2147483647 items of at least 1 bytes, 0 bytes remain.")]
    [InlineData("OffsetFetchRequest", 1, "000167" + "00000001" + "000161" + "20000000" + "00000000",
        "Topics[0].Partitions at byte 14: claims 536870912 items of at least 4 bytes, 4 bytes remain.")]
    [InlineData("FindCoordinatorRequest", 4, "00" + "03" + "0261" + "05", "CoordinatorKeys[1] at byte 5: claims 4 items of at least 1 bytes, 0 bytes remain.")]
    public void What_is_wrong_is_said_with_its_field_and_place(string name, short version, string hex, string expected)
    {
        Assert.Null(KnownMessages.Named(name).TryRead(Convert.FromHexString(hex), version, out string? error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public void A_request_with_more_elements_than_any_client_sends_is_refused_before_memory_is_taken_for_them()
    {
        // Two groups with the most that one request may have between them, and one more: the elements of all arrays count together.
        const int half = MessageCodec.MaximumRequestItemCount / 2;
        var most = new OffsetFetchRequest { GroupId = "g", Topics = [new() { Partitions = Numbers(half) }, new() { Partitions = Numbers(half - 2) }] };
        Assert.True(MessageCodec.TryReadRequest<OffsetFetchRequest>(BodyOf(most), 7, out _, out _));

        most.Topics[1].Partitions.Add(0);
        Assert.False(MessageCodec.TryReadRequest<OffsetFetchRequest>(BodyOf(most), 7, out _, out string? error));
        Assert.Contains("Topics[1].Partitions", error, StringComparison.Ordinal);

        static List<int> Numbers(int count) => [.. Enumerable.Range(0, count)];

        static ReadOnlyMemory<byte> BodyOf(OffsetFetchRequest request)
        {
            ReadOnlyMemory<byte> payload = MessageCodec.WriteRequest(request, 7, correlationId: 1, clientId: null).Payload;
            Assert.True(MessageCodec.TryReadRequestHeader(payload, out _, out int start, out _));
            return payload[start..];
        }
    }

    [Theory]
    [InlineData("ProduceRequest", 3)]
    [InlineData("FetchResponse", 12)]
    [InlineData("JoinGroupRequest", 9)]
    [InlineData("CreateTopicsRequest", 7)]
    [InlineData("OffsetFetchRequest", 1)]
    public void A_claimed_length_takes_no_memory(string name, short version)
    {
        // Every byte of a full message becomes part of a huge length in turn; no try may take memory on its word.
        KnownMessage known = KnownMessages.Named(name);
        byte[] bytes = KafkaDefinitions.Bytes.Single(golden => golden.Message == name && golden.Version == version && golden.Label is "filled").Bytes;
        known.TryRead(bytes, version, out _);
        for (int position = 0; position < bytes.Length; position++)
        {
            byte[] mutated = (byte[])bytes.Clone();
            for (int index = position; index < Math.Min(position + 4, mutated.Length); index++) mutated[index] = index == position ? (byte)0x7F : (byte)0xFF;
            long before = GC.GetAllocatedBytesForCurrentThread();
            known.TryRead(mutated, version, out _);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8192 + (64 * bytes.Length));
        }
    }

    [Theory]
    [MemberData(nameof(MessageNames))]
    public void A_frame_full_of_the_smallest_elements_costs_a_bounded_multiple_of_its_size(string name)
    {
        const int tailByteCount = 8_000;
        const int allocatedBytesPerByte = 48;
        KnownMessage known = KnownMessages.Named(name);
        foreach ((string _, string _, short version, byte[]? bytes) in KafkaDefinitions.Bytes.Where(golden => golden.Message == name && golden.Label is "filled"))
        {
            if (version != known.MaxVersion && version != known.FirstFlexibleVersion - 1) continue;

            // Wherever a count may stand, one that is as large as the rest allows, followed by nothing but smallest elements.
            byte[] count = known.IsFlexible(version) ? [0xA0, 0x3E] : [0, 0, 0x1F, 0x40];
            foreach (byte[] smallest in (byte[][])[[0], [1], [2], [1, 0], [1, 1, 0], [1, 1, 1, 0], [1, 0, 0]])
            {
                for (int position = 0; position <= Math.Min(bytes.Length, 40); position++)
                {
                    byte[] frame = [.. bytes[..position], .. count, .. Enumerable.Range(0, tailByteCount).Select(index => smallest[index % smallest.Length])];
                    known.TryRead(bytes, version, out _);
                    long before = GC.GetAllocatedBytesForCurrentThread();
                    known.TryRead(frame, version, out _);
                    long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                    Assert.True(allocated <= allocatedBytesPerByte * frame.Length, $"version {version}, position {position}: {allocated} bytes for {frame.Length}.");
                }
            }
        }
    }

    [Fact]
    public void A_tagged_field_that_is_unknown_is_skipped()
    {
        // Heartbeat version 4: group g, generation 1, member m, no instance, then tags 7 (2 bytes) and 300 (none).
        byte[] bytes = Convert.FromHexString("0267" + "00000001" + "026d" + "00" + "02" + "07" + "02" + "abcd" + "ac02" + "00");
        HeartbeatRequest request = Assert.IsType<HeartbeatRequest>(KnownMessages.Named("HeartbeatRequest").Read(bytes, 4));
        Assert.Equal(("g", 1, "m", null), (request.GroupId, request.GenerationId, request.MemberId, request.GroupInstanceId));
    }

    [Fact]
    public void Known_and_unknown_tagged_fields_may_be_mixed()
    {
        // ApiVersions response version 3: no error, no keys, no throttle; tag 1 epoch 5, tag 3 ready, tag 9 of three bytes.
        byte[] bytes = Convert.FromHexString("0000" + "01" + "00000000" + "03" + "01" + "08" + "0000000000000005" + "09" + "03" + "010203" + "03" + "01" + "01");
        ApiVersionsResponse response = Assert.IsType<ApiVersionsResponse>(KnownMessages.Named("ApiVersionsResponse").Read(bytes, 3));
        Assert.Equal(5, response.FinalizedFeaturesEpoch);
        Assert.True(response.ZooKeeperMigrationReady);
    }

    [Theory]
    [InlineData("09" + "0000000000000005ff", "tag 1 at byte 18: its size leaves 1 bytes that its field does not have.")]
    [InlineData("07" + "00000000000000", "FinalizedFeaturesEpoch at byte 10: needs 8 bytes, 7 remain.")]
    public void A_tagged_field_must_fill_its_size(string sizeAndField, string expected)
    {
        byte[] bytes = Convert.FromHexString("0000" + "01" + "00000000" + "01" + "01" + sizeAndField);
        Assert.Null(KnownMessages.Named("ApiVersionsResponse").TryRead(bytes, 3, out string? error));
        Assert.Equal(expected, error);
    }

    [Fact]
    public void A_long_tagged_field_gets_a_long_size()
    {
        var request = new FetchRequest { ClusterId = new string('c', 20_000) };
        KnownMessage known = KnownMessages.Named("FetchRequest");
        Assert.Equal(request.ClusterId, Assert.IsType<FetchRequest>(known.Read(known.Write(request, 12), 12)).ClusterId);
    }

    [Fact]
    public void A_string_too_long_for_its_version_is_refused_with_its_name_and_fits_a_flexible_one()
    {
        var request = new HeartbeatRequest { GroupId = new string('g', 40_000) };
        KnownMessage known = KnownMessages.Named("HeartbeatRequest");
        ArgumentException refused = Assert.Throws<ArgumentException>(() => known.Write(request, 3));
        Assert.Contains("GroupId has 40000 bytes in UTF-8; this version of the message carries at most 32767.", refused.Message, StringComparison.Ordinal);
        Assert.Equal(request.GroupId, Assert.IsType<HeartbeatRequest>(known.Read(known.Write(request, 4), 4)).GroupId);
    }

    [Fact]
    public void Bytes_that_are_not_UTF8_become_replacement_characters()
    {
        byte[] bytes = Convert.FromHexString("0001" + "ff" + "00000001" + "0000");
        Assert.Equal("�", Assert.IsType<HeartbeatRequest>(KnownMessages.Named("HeartbeatRequest").Read(bytes, 0)).GroupId);
    }
}
