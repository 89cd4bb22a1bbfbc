namespace Millrace.Broker.Tests;

public sealed class GroupWalkTests
{
    private const int SeedCount = 1_000;

    [Fact]
    public void No_walk_of_requests_failures_and_time_breaks_the_group()
    {
        int stableCount = 0;
        int expiryCount = 0;
        int keptPlaceCount = 0;
        for (int seed = 0; seed < SeedCount; seed++)
        {
            GroupWalk walk = new(seed);
            try
            {
                walk.Run();
            }
            catch (WalkException broken)
            {
                Assert.Fail($"Seed {seed}: {broken.Message}. Replay: new GroupWalk({seed}).Run()");
            }

            stableCount += walk.StableCount;
            expiryCount += walk.ExpiryCount;
            keptPlaceCount += walk.KeptPlaceCount;
        }

        // A walk that never gets anywhere proves nothing.
        Assert.True(stableCount > 3 * SeedCount, $"only {stableCount} stable generations in {SeedCount} walks");
        Assert.True(expiryCount > 3 * SeedCount, $"only {expiryCount} expired members in {SeedCount} walks");
        Assert.True(keptPlaceCount > SeedCount, $"only {keptPlaceCount} static members kept their place in {SeedCount} walks");
    }

    [Fact]
    public void The_same_seed_gives_the_same_walk()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            GroupWalk first = new(seed);
            GroupWalk second = new(seed);
            first.Run();
            second.Run();
            Assert.Equal(first.Hash, second.Hash);
        }
    }

    [Theory]
    [InlineData(WalkSabotage.LosesAnAnswer)]
    [InlineData(WalkSabotage.AnswersTwice)]
    [InlineData(WalkSabotage.ForgetsToWake)]
    [InlineData(WalkSabotage.TellsTwoMembersThatTheyLead)]
    [InlineData(WalkSabotage.AnswersBeforeTheDisk)]
    public void A_walk_notices_what_is_spoilt(WalkSabotage sabotage)
    {
        int noticed = 0;
        for (int seed = 0; seed < 20; seed++)
        {
            try
            {
                new GroupWalk(seed, sabotage).Run();
            }
            catch (WalkException)
            {
                noticed++;
            }
        }

        Assert.True(noticed >= 18, $"{sabotage} was noticed in {noticed} of 20 walks");
    }
}
