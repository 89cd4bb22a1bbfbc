namespace Millrace.Log.Tests;

/// <summary>What a process wrote outlives it for as long as the machine has power, synced or not; and a start can tell.</summary>
public sealed class KeptWritesTests
{
    [Fact]
    public void After_the_end_of_the_process_everything_that_was_written_is_there()
    {
        LogHarness harness = StartedInABoot();
        harness.AppendMany(3);

        harness.KillAndOpen();

        Assert.False(harness.LogDirectory.Recovery.WasCleanStop);
        Assert.True(harness.LogDirectory.Recovery.HasKeptWrites);
        Assert.Equal(3, harness.Log.LogEndOffset.Value);
    }

    [Fact]
    public void After_a_loss_of_power_what_was_written_is_in_doubt()
    {
        LogHarness harness = StartedInABoot();
        harness.AppendMany(3);

        harness.LosePower();
        harness.Open();
        Assert.False(harness.LogDirectory.Recovery.HasKeptWrites);

        // A start that was interrupted may not have mended everything.
        harness.KillAndOpen();
        Assert.False(harness.LogDirectory.Recovery.HasKeptWrites);

        // The next process of the same boot may trust again.
        harness.LogDirectory.TrustWrites();
        harness.KillAndOpen();
        Assert.True(harness.LogDirectory.Recovery.HasKeptWrites);
    }

    [Fact]
    public void After_a_disk_error_what_was_written_is_in_doubt_though_the_machine_went_on()
    {
        LogHarness harness = StartedInABoot();
        harness.AppendMany(3);
        SyncWork work = harness.Log.BeginSync()!;
        harness.Log.EndSync(work, new IOException("Input/output error"));

        harness.KillAndOpen();

        Assert.False(harness.LogDirectory.Recovery.HasKeptWrites);
    }

    [Fact]
    public void A_disk_error_during_a_start_leaves_what_was_written_in_doubt()
    {
        LogHarness harness = StartedInABoot();
        harness.LosePower();
        harness.Open();
        SyncWork work = harness.Log.BeginSync()!;
        harness.Log.EndSync(work, new IOException("Input/output error"));
        harness.LogDirectory.TrustWrites();

        harness.KillAndOpen();

        Assert.False(harness.LogDirectory.Recovery.HasKeptWrites);
    }

    [Fact]
    public void A_partition_that_a_start_after_a_loss_of_power_finds_offline_leaves_what_was_written_in_doubt()
    {
        LogHarness harness = StartedInABoot();
        harness.AppendMany(1);
        harness.Sync();
        harness.LosePower();
        harness.Storage.FailNext(SimulatedOperation.Read, "orders-0/00000000000000000000.log");
        harness.Open();
        Assert.False(harness.Log.IsOnline);
        harness.LogDirectory.TrustWrites();

        harness.KillAndOpen();

        Assert.False(harness.LogDirectory.Recovery.HasKeptWrites);
    }

    [Fact]
    public void Where_nobody_can_tell_the_boots_apart_what_was_not_synced_is_in_doubt()
    {
        LogHarness harness = LogHarness.WithPartition();

        harness.KillAndOpen();

        Assert.False(harness.LogDirectory.Recovery.HasKeptWrites);
    }

    [Fact]
    public void A_clean_stop_keeps_everything_whatever_becomes_of_the_power()
    {
        LogHarness harness = StartedInABoot();
        harness.AppendMany(3);
        harness.LogDirectory.Close();

        harness.LosePower();
        harness.Open();

        Assert.True(harness.LogDirectory.Recovery.HasKeptWrites);
    }

    [Fact]
    public void Linux_names_its_boots()
    {
        string? boot = new FileStorage().BootId;

        Assert.Equal(OperatingSystem.IsLinux(), Guid.TryParse(boot, out _));
        Assert.Equal(boot, new FileStorage().BootId);
    }

    private static LogHarness StartedInABoot()
    {
        var harness = new LogHarness();
        harness.Storage.BootId = "boot";
        harness.Open();
        harness.LogDirectory.Create(LogHarness.Orders, LogHarness.OrdersId);
        harness.LogDirectory.TrustWrites();
        return harness;
    }
}
