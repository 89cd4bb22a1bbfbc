using System.Buffers.Binary;
using Millrace.Kafka.Protocol;

namespace Millrace.Broker.Tests;

public sealed class FrameAssemblerTests
{
    private const int MaxPayload = 8 * 1024 * 1024;

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(1000)]
    [InlineData(1 << 20)]
    public void Frames_come_out_as_they_went_in_however_the_bytes_are_cut(int pieceByteCount)
    {
        var random = new Random(7);
        byte[][] payloads = [.. new[] { 1, 2, 4, 100, FrameAssembler.ReceiveBufferByteCount, 300_000, 5 }.Select(count => Bytes(random, count))];
        byte[] stream = [.. payloads.SelectMany(Frame)];
        using var assembler = new FrameAssembler(MaxPayload);

        List<byte[]> frames = [];
        for (int position = 0; position < stream.Length;)
        {
            Memory<byte> memory = assembler.ReceiveMemory();
            Assert.False(memory.IsEmpty);
            int count = Math.Min(Math.Min(pieceByteCount, memory.Length), stream.Length - position);
            stream.AsSpan(position, count).CopyTo(memory.Span);
            assembler.Received(count);
            position += count;
            while (TakeOrExtend(assembler) is { } frame)
            {
                frames.Add(frame.Payload.ToArray());
                Assert.Equal(frame.Payload.Length, BinaryPrimitives.ReadInt32BigEndian(frame.Bytes.Span));
                frame.Release();
            }
        }

        Assert.Equal(payloads, frames);
        Assert.False(assembler.IsMidFrame);
    }

    [Fact]
    public void A_claim_costs_no_memory_until_its_bytes_arrive()
    {
        using var assembler = new FrameAssembler(MaxPayload);
        byte[] claim = new byte[10];
        BinaryPrimitives.WriteInt32BigEndian(claim, MaxPayload);

        Feed(assembler, claim);

        Assert.Null(TakeOrExtend(assembler));
        Assert.Null(assembler.Fault);
        Assert.Equal(FrameAssembler.InitialFrameByteCount, assembler.HeldByteCount);

        // Whatever has arrived, at most twice of it is held.
        int arrived = claim.Length;
        while (arrived < MaxPayload)
        {
            int count = assembler.ReceiveMemory().Length;
            assembler.Received(count);
            arrived += count;
            Assert.InRange(assembler.HeldByteCount, 1, 2L * Math.Max(arrived, FrameAssembler.InitialFrameByteCount));
            _ = TakeOrExtend(assembler);
        }
    }

    [Theory]
    [InlineData(300_000, 300_000)]
    [InlineData(5_000_000, FrameAssembler.MaxTrustedByteCount)]
    public void Who_has_sent_a_large_frame_gets_as_much_for_the_next_one_within_a_bound(int frameByteCount, int expectedByteCount)
    {
        using var assembler = new FrameAssembler(MaxPayload);
        byte[] frame = new byte[frameByteCount];
        BinaryPrimitives.WriteInt32BigEndian(frame, frameByteCount - sizeof(int));
        FrameBuffer? whole = null;
        for (int fed = 0; whole is null; whole = TakeOrExtend(assembler))
        {
            int count = Math.Min(assembler.ReceiveMemory().Length, frame.Length - fed);
            Feed(assembler, frame.AsSpan(fed, count));
            fed += count;
        }

        whole.Release();
        byte[] claim = new byte[10];
        BinaryPrimitives.WriteInt32BigEndian(claim, MaxPayload);
        Feed(assembler, claim);

        Assert.Null(TakeOrExtend(assembler));
        Assert.Equal(expectedByteCount, assembler.HeldByteCount);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    [InlineData(MaxPayload + 1)]
    [InlineData(int.MaxValue)]
    [InlineData(0x47455420)] // "GET "
    public void A_size_that_no_request_has_is_a_fault(int claimed)
    {
        using var assembler = new FrameAssembler(MaxPayload);
        byte[] claim = new byte[4];
        BinaryPrimitives.WriteInt32BigEndian(claim, claimed);

        Feed(assembler, claim);

        Assert.Null(TakeOrExtend(assembler));
        Assert.Contains(claimed.ToString(), assembler.Fault);
        Assert.Null(TakeOrExtend(assembler));
    }

    [Fact]
    public void A_frame_takes_no_memory_before_it_may()
    {
        using var assembler = new FrameAssembler(MaxPayload);
        byte[] claim = new byte[10];
        BinaryPrimitives.WriteInt32BigEndian(claim, MaxPayload);
        Feed(assembler, claim.AsSpan(0, 3));
        Assert.Equal(0, assembler.WantedByteCount());
        Feed(assembler, claim.AsSpan(3));
        Assert.Equal((FrameAssembler.InitialFrameByteCount, 0), (assembler.WantedByteCount(), assembler.HeldByteCount));
        Assert.Null(assembler.TryTake());

        int taken = 0;
        int fed = claim.Length;
        FrameBuffer? whole = null;
        while (whole is null)
        {
            taken += assembler.WantedByteCount();
            assembler.Extend();
            Assert.Equal(taken, assembler.HeldByteCount);
            Assert.Equal(0, assembler.WantedByteCount());
            int count = assembler.ReceiveMemory().Length;
            assembler.Received(count);
            fed += count;
            whole = assembler.TryTake();
            Assert.Equal(fed == MaxPayload + sizeof(int), whole is not null);
        }

        Assert.Equal((taken, 0), (whole.Bytes.Length, assembler.WantedByteCount()));
        whole.Release();
    }

    private static FrameBuffer? TakeOrExtend(FrameAssembler assembler)
    {
        if (assembler.WantedByteCount() > 0)
        {
            assembler.Extend();
        }

        return assembler.TryTake();
    }

    private static void Feed(FrameAssembler assembler, ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(assembler.ReceiveMemory().Span);
        assembler.Received(bytes.Length);
    }

    private static byte[] Bytes(Random random, int count)
    {
        byte[] bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[] Frame(byte[] payload)
    {
        byte[] frame = new byte[payload.Length + FrameBuffer.SizePrefixByteCount];
        BinaryPrimitives.WriteInt32BigEndian(frame, payload.Length);
        payload.CopyTo(frame, FrameBuffer.SizePrefixByteCount);
        return frame;
    }
}
