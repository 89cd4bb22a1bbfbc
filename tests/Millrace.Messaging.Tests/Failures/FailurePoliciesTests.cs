namespace Millrace.Messaging.Tests;

public sealed class FailurePoliciesTests
{
    private static readonly TimeSpan s_second = TimeSpan.FromSeconds(1);

    [Fact]
    public void The_rule_of_the_most_specific_type_counts_whatever_their_order()
    {
        FailureTable table = Build(rules =>
        {
            rules.OnAnyException().Retry(1, Constant(1)).ThenDeadLetter();
            rules.On<IOException>().Retry(1, Constant(2)).ThenDeadLetter();
            rules.On<FileNotFoundException>().DeadLetter();
        });

        Assert.Equal(Retry(1), table.Decide(new InvalidOperationException(), 1));
        Assert.Equal(Retry(2), table.Decide(new IOException(), 1));
        Assert.Equal(Retry(2), table.Decide(new DirectoryNotFoundException(), 1));
        Assert.IsType<FailureDecision.DeadLetter>(table.Decide(new FileNotFoundException(), 1));
    }

    [Fact]
    public void A_message_is_a_dead_letter_after_its_last_retry()
    {
        FailureTable table = Build(rules => rules.OnAnyException().Retry(2, Constant(1)).ThenDeadLetter());
        Assert.Equal(
            [true, true, false],
            Enumerable.Range(1, 3).Select(attempt => table.Decide(new InvalidOperationException(), attempt) is FailureDecision.Retry));
    }

    [Fact]
    public void What_no_rule_names_follows_the_options_and_what_cannot_be_read_is_never_retried()
    {
        FailureTable table = Build(rules => rules.On<TimeoutException>().DeadLetter());
        Assert.Equal(Retry(9), table.Decide(new InvalidOperationException(), 1));
        Assert.IsType<FailureDecision.DeadLetter>(table.Decide(new UnreadableMessageException("?"), 1));
        Assert.IsType<FailureDecision.Retry>(Build(rules => rules.On<UnreadableMessageException>().Retry(1, Constant(1)).ThenDeadLetter()).Decide(new UnreadableMessageException("?"), 1));
    }

    [Fact]
    public void Waits_grow_by_the_factor_up_to_the_maximum_give_or_take_the_jitter()
    {
        Backoff backoff = Backoff.Exponential(s_second, factor: 3, maximum: TimeSpan.FromSeconds(10), jitter: 0.5);
        Assert.Equal([1, 3, 9, 10, 10], Enumerable.Range(1, 5).Select(failure => backoff.DelayAfter(failure, 0.5).TotalSeconds));
        Assert.Equal([0.5, 1.5], [backoff.DelayAfter(1, 0).TotalSeconds, backoff.DelayAfter(1, 1).TotalSeconds]);
        Assert.Equal(TimeSpan.FromSeconds(10), Backoff.Exponential(s_second, maximum: TimeSpan.FromSeconds(10), jitter: 0).DelayAfter(1_000, 0));
        Assert.Equal([2, 2], Enumerable.Range(1, 2).Select(failure => Backoff.Constant(TimeSpan.FromSeconds(2)).DelayAfter(failure, 0.5).TotalSeconds));
    }

    [Fact]
    public void Waits_out_of_range_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Backoff.Exponential(TimeSpan.Zero));
        Assert.Throws<ArgumentOutOfRangeException>(() => Backoff.Exponential(s_second, factor: 0.5));
        Assert.Throws<ArgumentOutOfRangeException>(() => Backoff.Exponential(s_second, factor: double.NaN));
        Assert.Throws<ArgumentOutOfRangeException>(() => Backoff.Exponential(s_second, maximum: TimeSpan.FromMilliseconds(999)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Backoff.Exponential(s_second, jitter: 1.1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new FailurePolicies().OnAnyException().Retry(0, Backoff.Constant(s_second)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new FailurePolicies().OnAnyException().Retry(1_001, Backoff.Constant(s_second)));
    }

    [Fact]
    public void Rules_that_say_nothing_or_two_things_are_reported()
    {
        FailurePolicies rules = new();
        rules.On<TimeoutException>();
        rules.On<IOException>().Retry(1, Constant(1));
        rules.On<ArgumentException>().DeadLetter().On<ArgumentException>().DeadLetter();
        List<string> problems = [];
        rules.Build("payment", DeliveryMode.AtMostOnce, problems);

        Assert.Equal(4, problems.Count);
        Assert.Contains("On<TimeoutException>() of the endpoint 'payment' says nothing.", problems[0], StringComparison.Ordinal);
        Assert.Contains("On<IOException>() of the endpoint 'payment' says nothing.", problems[1], StringComparison.Ordinal);
        Assert.Contains("On<ArgumentException>() of the endpoint 'payment' stands there twice.", problems[2], StringComparison.Ordinal);
        Assert.Contains("delivers at most once", problems[3], StringComparison.Ordinal);
    }

    private static FailureTable Build(Action<FailurePolicies> say)
    {
        FailurePolicies rules = new();
        say(rules);
        List<string> problems = [];
        FailureTable table = new(rules.Build("e", DeliveryMode.AtLeastOnce, problems), new FailurePolicy(5, Constant(9)), new Chance(new Random(1)));
        Assert.Empty(problems);
        return table;
    }

    private static Backoff Constant(int seconds) => Backoff.Constant(TimeSpan.FromSeconds(seconds), jitter: 0);

    private static FailureDecision Retry(int seconds) => new FailureDecision.Retry(TimeSpan.FromSeconds(seconds));
}
