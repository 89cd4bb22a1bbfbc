using System.Runtime.CompilerServices;

namespace Millrace.Testing.Tests;

/// <summary>
/// A crash at every write of a saga, on every path that it can take. The services keep books of what they did in the world, from
/// which the result is told: what happened happened once, and what was to be undone was undone once.
/// </summary>
public sealed class SagaCampaignTests(ITestOutputHelper output)
{
    private const int Always = int.MaxValue;
    private const int ControlPointCount = 24;

    [Fact]
    public Task An_order_that_succeeds() => CampaignAsync(
        _ => { }, SagaState.Completed, "reserve 2, charge 30, ship 1", chargesPublished: 1);

    [Fact]
    public Task A_declined_payment_releases_the_stock() => CampaignAsync(
        world => world.Refused.Add(typeof(ChargePayment)), SagaState.Compensated, "reserve 2, release 2");

    [Fact]
    public Task An_order_that_is_out_of_stock_does_nothing() => CampaignAsync(
        world => world.Refused.Add(typeof(ReserveStock)), SagaState.Compensated, "");

    [Fact]
    public Task Services_that_fail_before_and_after_they_have_done_it_do_it_once() => CampaignAsync(
        world =>
        {
            foreach (Type command in (Type[])[typeof(ReserveStock), typeof(ChargePayment), typeof(ShipOrder)])
                (world.FailsBeforeCommit[command], world.FailsAfterCommit[command]) = (1, 1);
        },
        SagaState.Completed, "reserve 2, charge 30, ship 1", chargesPublished: 1);

    [Fact]
    public Task A_dead_lettered_charge_that_took_effect_is_refunded() => CampaignAsync(
        world => world.FailsAfterCommit[typeof(ChargePayment)] = Always, SagaState.Compensated, "reserve 2, release 2, charge 30, refund 30");

    [Fact]
    public Task A_dead_lettered_charge_that_took_no_effect_is_not_refunded() => CampaignAsync(
        world => world.FailsBeforeCommit[typeof(ChargePayment)] = Always, SagaState.Compensated, "reserve 2, release 2");

    [Fact]
    public Task An_undo_that_fails_needs_attention_and_the_rest_stays_as_it_is() => CampaignAsync(
        world =>
        {
            world.Refused.Add(typeof(ChargePayment));
            world.FailsBeforeCommit[typeof(ReleaseStock)] = Always;
        },
        SagaState.NeedsAttention, "reserve 2");

    [Fact]
    public Task A_rejected_pivot_undoes_everything() => CampaignAsync(
        world => world.Refused.Add(typeof(ShipOrder)), SagaState.Compensated, "reserve 2, release 2, charge 30, refund 30", chargesPublished: 1);

    [Fact]
    public Task A_pivot_of_unknown_outcome_needs_attention_and_nothing_is_undone() => CampaignAsync(
        world => world.FailsAfterCommit[typeof(ShipOrder)] = Always, SagaState.NeedsAttention, "reserve 2, charge 30, ship 1", chargesPublished: 1);

    [Fact]
    public async Task Without_stored_replies_a_crash_charges_twice()
    {
        // The control: the same campaign must see what stored replies are there to prevent.
        List<string> wrong = [];
        await CrashCampaign.RunAsync(output, ControlPointCount, async configureOptions =>
        {
            await using OrderShop shop = new();
            shop.World.StoresReplies = false;
            OrderOutcome outcome = await shop.RunAsync(configureOptions);
            if (outcome.Entries != "reserve 2, charge 30, ship 1") wrong.Add(outcome.Entries);
            return outcome.Run;
        });

        output.WriteLine(string.Join(Environment.NewLine, wrong));
        Assert.Contains(wrong, entries => entries.Contains("charge 30, charge 30", StringComparison.Ordinal));
    }

    // A charge that is a dead letter tells nobody, since its handler never completes: its refund is what follows from it.
    private Task CampaignAsync(
        Action<World> configureWorld, SagaState state, string entries, int chargesPublished = 0, [CallerMemberName] string test = "") =>
        CrashCampaign.RunAsync(output, CrashCampaign.EveryWrite, async configureOptions =>
        {
            await using OrderShop shop = new();
            configureWorld(shop.World);
            OrderOutcome outcome = await shop.RunAsync(configureOptions);
            Assert.Equal((state, entries, chargesPublished), (outcome.State, outcome.Entries, outcome.ChargesPublished));
            return outcome.Run;
        }, test);
}
