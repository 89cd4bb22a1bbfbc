namespace Millrace.Workflows.Tests;

public sealed class SagaWaitersTests
{
    [Fact]
    public async Task A_wait_that_is_given_up_leaves_nothing_behind_and_the_others_go_on()
    {
        var waiters = new SagaWaiters();
        using var givenUp = new CancellationTokenSource();
        Task<SagaStatus> first = waiters.WaitAsync("order-7", () => null, givenUp.Token);
        Task<SagaStatus> second = waiters.WaitAsync("order-7", () => null, CancellationToken.None);
        Task<SagaStatus> unknown = waiters.WaitAsync("order-8", () => null, givenUp.Token);

        await givenUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => unknown);
        Assert.Equal(1, waiters.InstanceCount);

        waiters.Complete(new SagaStatus("order-7", SagaState.Completed, Reason: null, []));
        Assert.Equal(SagaState.Completed, (await second).State);
        Assert.Equal(0, waiters.InstanceCount);
    }

    [Fact]
    public void A_status_prints_what_it_waits_for() => Assert.Equal(
        "SagaStatus { InstanceId = order-7, State = Running, Reason = , WaitsFor = [stock, payment] }",
        new SagaStatus("order-7", SagaState.Running, Reason: null, ["stock", "payment"]).ToString());

    [Fact]
    public async Task An_instance_that_has_ended_is_not_waited_for()
    {
        var waiters = new SagaWaiters();
        var ended = new SagaStatus("order-7", SagaState.Compensated, Reason: null, []);

        Assert.Same(ended, await waiters.WaitAsync("order-7", () => ended, CancellationToken.None));
        Assert.Equal(0, waiters.InstanceCount);
    }
}
