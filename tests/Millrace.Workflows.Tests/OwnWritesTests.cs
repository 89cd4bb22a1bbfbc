using Millrace.Kafka.Records;

namespace Millrace.Workflows.Tests;

/// <summary>Whether an owner's writes follow each other without a record of somebody else's in between.</summary>
public sealed class OwnWritesTests
{
    private readonly OwnWrites _writes = new(new Offset(10));

    [Fact]
    public async Task Writes_that_follow_each_other_are_the_owners()
    {
        Write(10, 11);
        Write(12);

        Assert.True(await ReachesAsync(12));
        Assert.Equal(new Offset(13), _writes.Next);
    }

    [Fact]
    public async Task A_record_in_between_is_somebody_elses_until_somebody_has_looked()
    {
        Write(10);
        Write(12);

        Assert.False(await ReachesAsync(12));
        _writes.Looked(new Offset(12));
        Assert.True(await ReachesAsync(12));
        Assert.Equal(new Offset(13), _writes.Next);
    }

    [Fact]
    public async Task An_answer_that_overtakes_another_waits_for_it()
    {
        long slow = _writes.Begin();
        Write(11);

        Task<bool> reaches = ReachesAsync(11);
        Assert.False(reaches.IsCompleted);
        _writes.End(slow, [new Offset(10)]);

        Assert.True(await reaches);
    }

    [Fact]
    public async Task A_write_without_an_outcome_leaves_something_to_look_at_and_later_ones_are_not_waited_for()
    {
        long lost = _writes.Begin();
        Write(11);
        Task<bool> reaches = ReachesAsync(11);
        _writes.Begin();
        _writes.End(lost, []);

        Assert.False(await reaches);
    }

    private Task<bool> ReachesAsync(long offset) => _writes.ReachesAsync(new Offset(offset), TestContext.Current.CancellationToken);

    private void Write(params IEnumerable<long> offsets) => _writes.End(_writes.Begin(), offsets.Select(offset => new Offset(offset)));
}
