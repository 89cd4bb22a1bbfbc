namespace Millrace.Kafka.Protocol.Tests;

public class FrameBufferTests
{
    [Fact]
    public void A_rented_frame_has_exactly_its_size_and_says_it_in_its_prefix()
    {
        var frame = FrameBuffer.Rent(1000);
        Assert.Equal(1000, frame.Bytes.Length);
        Assert.Equal(996, frame.Payload.Length);
        Assert.Equal("000003E4", Convert.ToHexString(frame.Bytes.Span[..4]));
        Assert.Throws<ArgumentOutOfRangeException>(() => FrameBuffer.Rent(3));
    }

    [Fact]
    public void A_frame_lives_until_its_last_owner_releases_it()
    {
        var frame = FrameBuffer.Rent(8);
        frame.Retain();
        frame.Release();
        Assert.Equal(8, frame.Bytes.Length);
        frame.Release();
        Assert.Throws<ObjectDisposedException>(() => frame.Bytes);
        Assert.Throws<ObjectDisposedException>(() => frame.Payload);
        Assert.Throws<ObjectDisposedException>(frame.Release);
        Assert.Throws<ObjectDisposedException>(frame.Retain);
    }

    [Fact]
    public void Concurrent_owners_release_the_memory_once()
    {
        for (int round = 0; round < 200; round++)
        {
            var frame = FrameBuffer.Rent(16);
            for (int owner = 0; owner < 7; owner++) frame.Retain();
            Parallel.For(0, 8, _ =>
            {
                Assert.Equal(16, frame.Bytes.Length);
                frame.Release();
            });
            Assert.Throws<ObjectDisposedException>(() => frame.Bytes);
        }
    }

    [Fact]
    public void A_frame_that_grows_or_shrinks_keeps_its_bytes()
    {
        var frame = FrameBuffer.Rent(8);
        "abcd"u8.CopyTo(frame.Bytes.Span[4..]);
        frame.Resize(100_000);
        Assert.Equal(100_000, frame.Bytes.Length);
        Assert.Equal("0001869C61626364", Convert.ToHexString(frame.Bytes.Span[..8]));
        frame.Resize(6);
        Assert.Equal("000000026162", Convert.ToHexString(frame.Bytes.Span));
        frame.Retain();
        Assert.Throws<InvalidOperationException>(() => frame.Resize(8));
    }
}
