namespace Millrace.Broker.Tests;

public sealed class RequestMemoryTests
{
    private const int Limit = 100;
    private readonly RequestMemory _memory = new(Limit);

    [Fact]
    public async Task Who_waits_comes_in_the_order_in_which_it_asked()
    {
        RequestCharge first = await TakeAsync(80);
        Task<RequestCharge> large = TakeAsync(60);
        Task<RequestCharge> small = TakeAsync(10);
        RequestCharge none = default;
        Assert.False(_memory.TryTake(ref none, 10), "there is room for it, and others were here before");
        Assert.False(large.IsCompleted || small.IsCompleted);

        _memory.Give(first);

        Assert.Equal(new RequestCharge(60, IsBeyondLimit: false), await large);
        Assert.Equal(new RequestCharge(10, IsBeyondLimit: false), await small);
        Assert.Equal(70, _memory.UsedByteCount);
        Assert.True(_memory.TryTake(ref none, 30));
    }

    [Fact]
    public async Task Of_frames_that_have_begun_and_want_more_than_there_is_one_at_a_time_goes_beyond()
    {
        RequestCharge first = await TakeAsync(50);
        RequestCharge second = await TakeAsync(50);
        Task<RequestCharge> stranger = TakeAsync(10);

        first = await TakeAsync(50, held: first);
        Task<RequestCharge> secondGrows = TakeAsync(50, held: second);
        first = await TakeAsync(100, held: first);

        Assert.Equal(new RequestCharge(200, IsBeyondLimit: true), first);
        Assert.False(secondGrows.IsCompleted || stranger.IsCompleted);
        _memory.Give(first);
        second = await secondGrows;
        Assert.False(stranger.IsCompleted);
        Assert.Equal(100, _memory.UsedByteCount);
        _memory.Give(second);
        _memory.Give(await stranger);
        Assert.Equal(0, _memory.UsedByteCount);
    }

    [Fact]
    public async Task A_frame_larger_than_the_limit_goes_and_a_second_one_waits_for_it()
    {
        RequestCharge small = await TakeAsync(60);
        RequestCharge large = await TakeAsync(500);
        Task<RequestCharge> larger = TakeAsync(700);
        Assert.Equal(560, _memory.UsedByteCount);

        _memory.Give(small);
        Assert.False(larger.IsCompleted);
        _memory.Give(large);

        _memory.Give(await larger);
        Assert.Equal(0, _memory.UsedByteCount);
    }

    [Fact]
    public async Task Who_gives_up_lets_those_behind_it_pass_and_keeps_what_it_had()
    {
        using var gone = new CancellationTokenSource();
        RequestCharge first = await TakeAsync(80);
        Task<RequestCharge> large = TakeAsync(60, gone.Token);
        Task<RequestCharge> small = TakeAsync(10);

        await gone.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => large);
        Assert.Equal(10, (await small).ByteCount);
        Assert.Equal(90, _memory.UsedByteCount);
        _memory.Give(first);
        Assert.Equal(10, _memory.UsedByteCount);
    }

    private Task<RequestCharge> TakeAsync(int byteCount, CancellationToken cancellationToken = default, RequestCharge held = default) =>
        _memory.TakeAsync(held, byteCount, cancellationToken).WaitAsync(TestClient.Patience, CancellationToken.None);
}
